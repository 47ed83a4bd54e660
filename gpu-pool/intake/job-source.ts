/**
 * The port through which a lane's jobs come in, whatever carries them. A driver reads job records, and may bring the
 * claims' answers with them when the log claimed on the pool's behalf.
 */
import type { ModelRoom } from "../../src/contract/channel.ts";
import type { ClaimAnswer } from "../../src/contract/claim.ts";
import type { Job } from "../../src/contract/job.ts";

export type SourcedJob = {
  job: Job;
  /** The claim's answer when the log asked for it; null when the pool must claim itself. */
  answer: ClaimAnswer | null;
};

export type PollOptions = {
  /** What the pool has room for on this lane. */
  rooms: readonly ModelRoom[];
  /** How long to wait for the first job; a lane that serves its topics itself never waits. */
  waitMs: number;
};

export type Polled = {
  jobs: SourcedJob[];
  /** Marks them as handled, once all claims are answered. Never throws: a lost commit only repeats hints. */
  commit(): void;
};

export type JobSource = {
  readonly lane: string;
  /**
   * The lane serves these topics: it answers at once with granted jobs, and tells of work on the control channel. Else
   * they are a Kafka's.
   */
  readonly isServed: boolean;
  /** Waits for jobs. Throws when the log can't be reached or refuses; the caller tries again. */
  poll(options: PollOptions): Promise<Polled>;
  /** Gives this pool's share of the lane to the others; the next poll joins again. */
  leave(): Promise<void>;
  /**
   * Records of the lane that no pool has committed, by topic; only where this driver can tell, and no other door does.
   */
  lag?(): Promise<ReadonlyMap<string, number>>;
};
