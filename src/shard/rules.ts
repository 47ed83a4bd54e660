/** The durations and bounds that a shard works by. */
export type Rules = {
  /** How long a pool session is trusted after it was last heard. */
  leaseMs: number;
  /** How soon after a claim its lease is asked for first: the answer that brought the grant may have been lost. */
  firstCheckMs: number;
  /** First sweep of an unclaimed prediction; doubles up to `sweepMaxMs`. */
  sweepMs: number;
  sweepMaxMs: number;
  /** Before it is handed on again what pools can't run and hand back a second time; doubles up to `sweepMs`. */
  handBackMs: number;
  /** Unexplained losses, or crashes alone, after which a prediction fails. */
  maxLosses: number;
  /** How long the data of a finished prediction stays. */
  retentionMs: number;
  /** How long a client's own key is remembered after that. */
  keyMemoryMs: number;
  /** As many rows as are granted at once between two looks at what is due, before they are left out of its index. */
  unlistedFrom: number;
  /** How often the frames of one running prediction are stored at most. */
  flushMs: number;
};

export const defaultRules: Rules = {
  leaseMs: 15_000,
  firstCheckMs: 1500,
  sweepMs: 30_000,
  sweepMaxMs: 3_600_000,
  handBackMs: 1000,
  maxLosses: 3,
  retentionMs: 24 * 3_600_000,
  keyMemoryMs: 24 * 3_600_000,
  unlistedFrom: 8,
  flushMs: 500,
};
