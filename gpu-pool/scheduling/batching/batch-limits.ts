/**
 * How large a batch may be now: what the model's author says, within what its runs have taught. Pure.
 *
 * The cost of a batch is its number times the largest cost in it, as if the others were padded to that.
 */
import { oneBucket } from "./buckets.ts";
import type { Buckets } from "./buckets.ts";
import { CallCost } from "./call-cost.ts";
import { MemoryBound } from "./memory-bound.ts";
import { MemoryByCost } from "./memory-by-cost.ts";
import type { MemoryPoint } from "./memory-by-cost.ts";
import { RunTimes } from "./run-times.ts";

export type BatchingOptions = {
  /** The most members of a batch (Triton's `max_batch_size`). */
  maxBatchSize: number;
  /** How long the oldest member may wait for company (Triton's `max_queue_delay`), in milliseconds. */
  maxQueueDelayMs: number;
  /** The most cost of a batch, in the units of the model's cost; default: as much as there is. */
  maxBatchCost?: number | undefined;
  /** What runs together; default: everything. */
  buckets?: Buckets | undefined;
  /** How long a prediction should take here, the wait for company and its run. */
  latencyObjectiveMs?: number | undefined;
  /** What can't end by its deadline any more doesn't begin. */
  dropsLate?: boolean | undefined;
};

/** `size`: how many ran together. `cost`: of the whole batch. `bucket`: of its largest member. */
export type Shape = { size: number; cost: number; bucket: number };

/** `cost`: the most of a batch that has shown to fit; null while all fitted. `memory`: what batches took, by cost. */
export type Learned = { cost: number | null; memory: MemoryPoint[] };

export class BatchLimits {
  /** Read anew for each batch: its owner may change them while it works, but for `buckets`. */
  readonly options: BatchingOptions;
  readonly memory = new MemoryBound();
  readonly memoryByCost = new MemoryByCost();
  /** What fits the memory that is left where the next batch goes. */
  #fitting = Infinity;
  readonly #call = new CallCost();
  readonly #times: RunTimes;
  readonly #buckets: Buckets;

  constructor(options: BatchingOptions) {
    this.options = options;
    this.#times = new RunTimes(options);
    this.#buckets = options.buckets ?? oneBucket;
  }

  /** Whether a batch picks its members among what waits, and doesn't just take the first. */
  get picks(): boolean {
    return this.options.buckets !== undefined;
  }

  get learned(): Learned {
    const { limit } = this.memory;
    return { cost: limit === Infinity ? null : limit, memory: this.memoryByCost.points };
  }

  bucketOf(cost: number): number {
    return this.#buckets.of(cost);
  }

  /** The most members of a batch of this bucket. */
  sizeOf(bucket: number): number {
    const { maxBatchSize, latencyObjectiveMs, maxQueueDelayMs } = this.options;
    if (latencyObjectiveMs === undefined) return maxBatchSize;
    return this.#times.bestSize(bucket, latencyObjectiveMs - maxQueueDelayMs);
  }

  /** The most cost of a batch of several. */
  get cost(): number {
    return Math.min(this.options.maxBatchCost ?? Infinity, this.memory.limit, this.#fitting);
  }

  /** Where the next batch goes, so many bytes are left for it; Infinity where nobody knows. */
  leaves(bytes: number): void {
    this.#fitting = this.memoryByCost.costWithin(bytes);
  }

  /** Whether it is better to run batches of these costs as one of the cost `together` than one after another. */
  isBetterTogether(one: number, other: number, together: number): boolean {
    return together - one - other < this.#call.worth;
  }

  /** About the least that a run of this cost takes, in milliseconds; 0 while nobody knows. */
  leastMs(cost: number): number {
    return this.#times.leastMs(this.bucketOf(cost)) ?? 0;
  }

  /** A batch ran well for `ms`. */
  ran({ size, cost, bucket }: Shape, ms: number): void {
    this.#times.ran(bucket, size, ms);
    this.memory.ran(cost);
    this.#call.ran(cost, ms);
  }
}
