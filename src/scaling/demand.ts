/** What a lane tells the scaler: what waits and runs of each version, and where. */

export type SessionDemand = {
  session: string;
  /** Granted there and not ended; what it would begin at once; when a cold instance should be ready. */
  inFlight: number;
  startNow: number;
  readyInMs: number | null;
  /** Why it can't be set up there. */
  problem: string | null;
};

/** Totals count from the lane's start. */
export type VersionDemand = {
  /** `owner/name`. */
  model: string;
  version: string;
  waiting: { high: number; normal: number; low: number };
  /** For how long there has been something, without a break, that nobody has been handed. */
  waitingMs: number;
  inFlight: number;
  /** Without those of low priority: they wait for spare time. */
  arrived: number;
  /** Those that got their turn, and how long they had waited together. */
  started: number;
  waitedMs: number;
  ended: number;
  /** Device time of those that ended. */
  endedMs: number;
  sessions: SessionDemand[];
};

/** The whole of what the lane knows. `life`: another one counts from zero again. */
export type LaneDemand = { life: string; n: number; versions: VersionDemand[] };

/** What the lane is told: how often to tell, and of its versions that nobody serves when somebody will. */
export type DemandReply = {
  /** Not more often than this, and only when something changed. */
  everyMs: number;
  versions: {
    model: string;
    version: string;
    /** Until a machine serves that is, or would be, rented for it, as `ColdStart` has it; null: nobody knows. */
    coldStart?: { machineMs: number; setupMs: number | null; leastMs: number; mostMs: number | null } | null;
    /** Why no machine is rented for it. */
    refused: string | null;
  }[];
};
