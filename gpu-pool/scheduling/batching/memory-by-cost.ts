/**
 * What batches of a model took of memory beyond what its process holds at rest, by their cost, and the most cost that
 * fits what is left. Pure.
 *
 * For each power of two of cost the batch counts that took most, until so many runs have gone without one like it.
 * Between two of these memory grows in a line. Beyond the last it grows as steeply as it did up to there; while only
 * one cost was seen, twice that is tried.
 */
import { powersOfTwo } from "./buckets.ts";

/** What was not reached again in so many runs is forgotten. */
const TRUSTED_RUNS = 512;
const MAX_ROWS = 32;
/** Two costs as close as this show no slope. */
const APART = 0.75;
/** Beyond what was seen, so much more than the line says is expected. */
const MARGIN = 1.1;
const FIRST_STEP = 2;

export type MemoryPoint = { cost: number; bytes: number };
type Row = MemoryPoint & { atRun: number };

export class MemoryByCost {
  readonly #rows = new Map<number, Row>();
  #runs = 0;

  /** A batch of this cost took so many bytes at its most. */
  ran(cost: number, bytes: number): void {
    if (!Number.isFinite(cost) || cost <= 0) return;
    this.#runs += 1;
    const bucket = powersOfTwo.of(cost);
    const row = this.#rows.get(bucket);
    if (row === undefined || bytes >= row.bytes || this.#isOld(row))
      this.#rows.set(bucket, { cost, bytes, atRun: this.#runs });
    for (const [other, { atRun }] of this.#rows) if (this.#isOld({ atRun })) this.#rows.delete(other);
    const oldest = [...this.#rows].toSorted(([, one], [, other]) => one.atRun - other.atRun)[0];
    if (this.#rows.size > MAX_ROWS && oldest !== undefined) this.#rows.delete(oldest[0]);
  }

  /** What is known, by rising cost; a larger one takes no less than a smaller. */
  get points(): MemoryPoint[] {
    let most = 0;
    return [...this.#rows.values()]
      .toSorted((one, other) => one.cost - other.cost)
      .map(({ cost, bytes }) => {
        most = Math.max(most, bytes);
        return { cost, bytes: most };
      });
  }

  /** The most cost of a batch that takes no more than so many bytes; Infinity while nothing is known. */
  costWithin(bytes: number): number {
    const { points } = this;
    const last = points.at(-1);
    if (last === undefined || bytes === Infinity) return Infinity;
    if (last.bytes <= bytes) return costBeyond(points, last, bytes);
    const above = points.findIndex((point) => point.bytes > bytes);
    const [low, high] = [points[above - 1], points[above]];
    if (low === undefined || high === undefined) return 0;
    return low.cost + ((bytes - low.bytes) / (high.bytes - low.bytes)) * (high.cost - low.cost);
  }

  #isOld({ atRun }: Pick<Row, "atRun">): boolean {
    return this.#runs - atRun > TRUSTED_RUNS;
  }
}

function costBeyond(points: readonly MemoryPoint[], last: MemoryPoint, bytes: number): number {
  const before = points.filter(({ cost }) => cost <= APART * last.cost);
  if (before.length === 0) return FIRST_STEP * last.cost;
  const slope = Math.max(...before.map((point) => (last.bytes - point.bytes) / (last.cost - point.cost)));
  return slope === 0 ? Infinity : last.cost + (bytes - last.bytes) / (MARGIN * slope);
}
