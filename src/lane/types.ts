/** What shards, pools and readers tell a lane and get from it, over RPC. */
import type { Priority, QueuePlace } from "../contract/prediction.ts";

/** One waiting prediction, as its shard hands it on. */
export type LaneEntry = {
  id: string;
  /** The fairness key: a hash of the account, so that a lane never learns who it is. */
  tenant: string;
  priority: Priority;
  cost: number;
  model: string;
  version: string;
  startBy: number;
  traceparent: string | null;
};

/** The place of each id that the lane knows, by id. */
export type Places = Record<string, QueuePlace>;

/** What a pool's session means for a lane. `slots: 0` when it drains or is gone. */
export type PoolCapacity = { session: string; slots: number; maxBatchSize: number };

export type LaneStats = {
  lane: string;
  waiting: Record<Priority, number>;
  released: number;
  window: number;
  /** Starts a second, measured; null before the first. */
  ratePerSecond: number | null;
  pools: number;
};
