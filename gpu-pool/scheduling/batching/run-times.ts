/**
 * What runs of one model took, by the bucket of their costs and by how many ran together, and the number that serves
 * most predictions a second within a limit. Pure.
 *
 * Numbers double from 1 up to the most that is allowed, as long as that serves more: one that was never run is tried
 * when the one below it says that it should keep the limit.
 */
import { Lately } from "../lately.ts";

/** A number that serves so much less than a smaller one isn't worth its delay. */
const WORSE = 0.97;
/** What served less, or took too long, is tried again after so many runs of its bucket. */
const TRUSTED_RUNS = 200;
/** How fast the least time follows runs that all take longer. */
const RISE = 0.02;
/** Buckets that are remembered; the one that was used longest ago goes first. */
const MAX_BUCKETS = 64;

type Measured = { ms: Lately; atRun: number };
type Bucket = { runs: number; bySize: Map<number, Measured>; leastMs: number };

export class RunTimes {
  readonly #limits: { readonly maxBatchSize: number };
  readonly #buckets = new Map<number, Bucket>();

  /** `maxBatchSize`: the most that run together; it may change. */
  constructor(limits: { readonly maxBatchSize: number }) {
    this.#limits = limits;
  }

  get #most(): number {
    return this.#limits.maxBatchSize;
  }

  /** A batch of `size` ran well for `ms`. */
  ran(bucket: number, size: number, ms: number): void {
    const seen = this.#buckets.get(bucket) ?? { runs: 0, bySize: new Map<number, Measured>(), leastMs: ms };
    this.#buckets.delete(bucket);
    this.#buckets.set(bucket, seen);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest);
    seen.runs += 1;
    seen.leastMs = Math.min(ms, seen.leastMs + RISE * (ms - seen.leastMs));
    if (size !== this.#most && !Number.isInteger(Math.log2(size))) return;
    const measured = seen.bySize.get(size) ?? { ms: new Lately(), atRun: 0 };
    measured.ms.add(ms);
    measured.atRun = seen.runs;
    seen.bySize.set(size, measured);
  }

  /** About the least that a run of this bucket takes, however many it has, in milliseconds; null before the first. */
  leastMs(bucket: number): number | null {
    return this.#buckets.get(bucket)?.leastMs ?? null;
  }

  /** How many of a bucket to run together so that a run takes no longer than `limitMs`: 1 at least. */
  bestSize(bucket: number, limitMs: number): number {
    const seen = this.#buckets.get(bucket);
    if (seen === undefined) return 1;
    let best = 1;
    let bestMs = seen.bySize.get(1)?.ms.value ?? null;
    if (bestMs === null) return 1;
    while (best < this.#most) {
      const size = Math.min(2 * best, this.#most);
      const measured = seen.bySize.get(size);
      const ms = measured?.ms.value ?? null;
      const serves = ms !== null && ms <= limitMs && size / ms >= (WORSE * best) / bestMs;
      if (ms !== null && serves) {
        best = size;
        bestMs = ms;
        continue;
      }
      const isTrusted = measured !== undefined && seen.runs - measured.atRun <= TRUSTED_RUNS;
      // It takes what the number below took, as often as that goes into it, at the most.
      return !isTrusted && (bestMs * size) / best <= limitMs ? size : best;
    }
    return best;
  }
}
