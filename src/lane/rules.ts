/** Times and bounds of a lane. */
export type LaneRules = {
  /** How long a reservation stands that its shard doesn't use. */
  reservedMs: number;
  /** How long what was taken or pushed is its session's, until its shard says that it was granted. */
  handedMs: number;
  /** A grant that a pool hasn't acknowledged for so long suspends its session's credit. */
  unseenMs: number;
  /** What waits for so long, while a session has room for it, is pushed. */
  pushAfterMs: number;
  /** A session with room for what waits, which doesn't poll, is told again after this. */
  nudgeMs: number;
  /** A session that doesn't state its room is asked again after this, twice as long each time; and so often. */
  askMs: number;
  maxAsked: number;
  /** How long a version counts as open after it had room or a run. */
  openMs: number;
  /** Entries in the log of a version that no session serves. */
  unservedWindow: number;
  /** Entries of one `due`, of each kind. */
  maxDue: number;
  /** Sessions that one `due` looks at for one version. */
  maxScanned: number;
  /** Entries that are out of the order until they are granted; at the bound nothing more is handed out. */
  maxMarks: number;
  /**
   * Runs whose end is awaited to settle what they cost; at the bound the short way closes, and the oldest run stays
   * charged as estimated.
   */
  maxRuns: number;
  maxRunMs: number;
  /**
   * Runs that ended before their shards told that they were granted, and as many whose session is over. A shard tells
   * a lane that hangs again every 30 s, until it answers: what ended is remembered for several of these.
   */
  maxEnded: number;
  endedMs: number;
  /** Versions; beyond it those that nobody serves and nobody waits for are forgotten. */
  maxVersions: number;
};

export const defaultRules: LaneRules = {
  reservedMs: 250,
  handedMs: 1500,
  unseenMs: 500,
  pushAfterMs: 500,
  nudgeMs: 500,
  askMs: 1000,
  maxAsked: 8,
  openMs: 2000,
  unservedWindow: 64,
  maxDue: 500,
  maxScanned: 256,
  maxMarks: 20_000,
  maxRuns: 50_000,
  maxRunMs: 86_400_000,
  maxEnded: 10_000,
  endedMs: 600_000,
  maxVersions: 5000,
};
