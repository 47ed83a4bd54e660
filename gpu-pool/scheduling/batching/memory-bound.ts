/**
 * The largest batch that fits the memory of its device, as runs have shown it: in cost, which of a batch is its number
 * times the largest cost in it. Pure.
 *
 *   free ── ran out at c ──▶ bounded to c / 2 ── runs near the bound go well ──▶ grows; from 0.9 c on ever more slowly
 *   bounded ── it was one input, alone, that failed ──▶ as before its first failure
 *   bounded ── at 2 c ──▶ free
 */

/** Runs of so much of the bound count as near it. */
const NEAR = 0.75;
/** How much the bound grows with a run near it; close to what failed less, and half of that after each failure. */
const GROWTH = 1 / 64;
const CAREFUL_GROWTH = 1 / 512;
const CLOSE = 0.9;
const MAX_FAILURES = 8;
/** An input that fails alone after so many runs that went well says nothing of the batch that failed before them. */
const EPISODE_RUNS = 16;

export class MemoryBound {
  /** The most cost of a batch; Infinity while nothing ran out. One prediction alone runs whatever it costs. */
  limit = Infinity;
  #failedAt = Infinity;
  #failures = 0;
  /** What held before the failures that are being looked into; null when none are. */
  #before: { limit: number; failedAt: number; failures: number } | null = null;
  #runsSince = 0;

  /** A batch of several with this cost ran out of memory. */
  ranOut(cost: number): void {
    this.#before ??= { limit: this.limit, failedAt: this.#failedAt, failures: this.#failures };
    this.#runsSince = 0;
    this.#failures = Math.min(this.#failures + 1, MAX_FAILURES);
    this.#failedAt = Math.min(this.#failedAt, cost);
    this.limit = Math.min(this.limit, cost / 2);
  }

  /** One alone ran out: it was that input, and no batch was too large. */
  wasOneInput(): void {
    if (this.#before === null) return;
    this.limit = this.#before.limit;
    this.#failedAt = this.#before.failedAt;
    this.#failures = this.#before.failures;
    this.#before = null;
  }

  /** A batch with this cost ran well. */
  ran(cost: number): void {
    this.#runsSince += 1;
    if (this.#runsSince > EPISODE_RUNS) this.#before = null;
    if (this.limit === Infinity || cost < NEAR * this.limit) return;
    const isClose = this.limit >= CLOSE * this.#failedAt;
    this.limit *= 1 + (isClose ? CAREFUL_GROWTH / 2 ** this.#failures : GROWTH);
    if (this.limit < 2 * this.#failedAt) return;
    this.limit = this.#failedAt = Infinity;
    this.#failures = 0;
  }
}
