/**
 * A call that is made again and again: one at a time, so often, and after failures with pauses that double. Pure: the
 * caller tells the time.
 */
import type { ProviderError } from "./provider.ts";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export class Errands {
  readonly #soonMs: number;
  #isUnderWay = false;
  #endedMs: number | null = null;
  #isAskedFor = false;
  #failures = 0;
  #notBeforeMs = 0;
  /** Why the latest didn't go well, in a sentence; null: it did. */
  problem: string | null = null;

  /** `soonMs`: the time between two calls at least, of which the second was asked for before its time. */
  constructor(soonMs: number) {
    this.#soonMs = soonMs;
  }

  /** Whether to call now, as it is to be called every `everyMs`; it counts as begun. */
  begin(nowMs: number, everyMs: number): boolean {
    if (this.#isUnderWay || nowMs < this.nextMs(everyMs)) return false;
    this.#isUnderWay = true;
    this.#isAskedFor = false;
    return true;
  }

  /** When the next call is due; Infinity while one is under way. */
  nextMs(everyMs: number): number {
    if (this.#isUnderWay) return Infinity;
    if (this.#failures > 0) return this.#notBeforeMs;
    if (this.#endedMs === null) return -Infinity;
    return this.#endedMs + (this.#isAskedFor ? Math.min(this.#soonMs, everyMs) : everyMs);
  }

  /** What was found out is of interest before its time: what is under way already may be too early to show it. */
  askSoon(): void {
    this.#isAskedFor = true;
  }

  succeeded(nowMs: number): void {
    this.#isUnderWay = false;
    this.#endedMs = nowMs;
    this.#failures = 0;
    this.problem = null;
  }

  failed(error: ProviderError, nowMs: number): void {
    this.#isUnderWay = false;
    this.#failures += 1;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    this.#notBeforeMs = nowMs + Math.max(pauseMs, error.retryAfterMs ?? 0);
    this.problem = error.message;
  }
}
