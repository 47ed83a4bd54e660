/** What shards, pools and readers tell a lane and get from it, over RPC. */
import type { Priority } from "../contract/prediction.ts";

/** One waiting prediction, as its shard hands it on. */
export type LaneEntry = {
  id: string;
  /** The fairness key. It stays inside the edge: a job record never carries it. */
  tenant: string;
  priority: Priority;
  cost: number;
  model: string;
  version: string;
  startBy: number;
  traceparent: string | null;
  /** True for what already had its turn (released by a pool, or lost): it goes to the log past those that wait. */
  front: boolean;
};

/**
 * What a shard remembers of a lane to tell places without a call: `heads` is the next ticket that leaves per priority,
 * `tails` the next that is given, `released` how many are in the log and not yet claimed.
 */
export type LaneStats = {
  heads: Record<Priority, number>;
  tails: Record<Priority, number>;
  released: number;
  window: number;
  /** Claims a second, measured; null before the first. */
  ratePerSecond: number | null;
  pools: number;
};

/** A ticket per id, in the order of its priority; null for what went straight to the log. */
export type OfferReply = { tickets: Record<string, number | null>; stats: LaneStats };

/** What a pool's session means for a lane. `slots: 0` when it drains or is gone. */
export type PoolCapacity = { session: string; slots: number; maxBatchSize: number };
