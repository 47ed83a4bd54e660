/**
 * Jobs of one lane straight from a Kafka cluster, for a pool that stands beside it: no bridge between. The consumer
 * group is the same as through the Upstash dialect, `lane.<name>`, so that pools of both kinds share a lane's
 * partitions.
 *
 * away → (poll) member of the group → (leave) away. Records are committed only after their claims were answered.
 */
import { JobSchema } from "../../src/contract/job.ts";
import type { Job } from "../../src/contract/job.ts";
import type { LaneGroup } from "../bridge/kafka/lane-group.ts";
import type { GroupMember } from "../bridge/kafka/member.ts";
import type { RestRecord } from "../bridge/kafka/records.ts";
import type { Clock } from "../scheduling/clock.ts";
import { totalRoom } from "./intake.ts";
import type { JobSource } from "./job-source.ts";

/** Commits of quick polls are sent together: a commit that is late only repeats a hint. */
const COMMIT_DELAY_MS = 200;
const MAX_POLL_BYTES = 1_048_576;

export type NativeSourceOptions = {
  /** The lane's consumer group at the cluster; `createLaneGroup` of `bridge/kafka` makes it. */
  group: LaneGroup;
  clock: Clock;
  /** Told of records that aren't jobs, and of commits that failed; never of a record's content. */
  onProblem(problem: string): void;
};

export type NativeSource = JobSource & {
  /**
   * Connects and looks for the lane's topics. Throws an `EdgeplaneError` that says what is wrong: address, password,
   * rights, topics.
   */
  probe(): Promise<void>;
  /** Leaves the group and closes every connection. */
  close(): Promise<void>;
};

/** A source for one lane. It connects with its first poll. */
export function createNativeSource(options: NativeSourceOptions): NativeSource {
  const { group, clock, onProblem } = options;
  const { lane } = group;
  const uncommitted = new Map<string, { topic: string; partition: number; offset: number }>();
  let member: GroupMember | null = null;
  let commitDue = false;

  async function sendCommit(): Promise<void> {
    commitDue = false;
    const offsets = [...uncommitted.values()];
    uncommitted.clear();
    if (member === null || offsets.length === 0) return;
    try {
      await member.commit(offsets);
    } catch (error) {
      onProblem(`commit on lane ${lane} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  function read(record: RestRecord): Job | null {
    try {
      return JobSchema.parse(JSON.parse(record.value));
    } catch {
      onProblem(`${record.topic}[${record.partition}]@${record.offset} is not a job; skipped`);
      return null;
    }
  }

  function note(records: readonly RestRecord[]): void {
    for (const { topic, partition, offset } of records) {
      const key = `${topic}/${partition}`;
      if ((uncommitted.get(key)?.offset ?? 0) <= offset) uncommitted.set(key, { topic, partition, offset: offset + 1 });
    }
    if (commitDue || records.length === 0) return;
    commitDue = true;
    clock.after(COMMIT_DELAY_MS, () => void sendCommit());
  }

  async function leave(): Promise<void> {
    const leaving = member;
    await sendCommit();
    member = null;
    await leaving?.close();
  }

  return {
    lane,
    isServed: false,
    probe: async () => group.probe(),
    async poll({ rooms, waitMs }) {
      member ??= await group.open();
      const records = await member.take({ room: totalRoom(rooms), maxBytes: MAX_POLL_BYTES, waitMs });
      const jobs = records.flatMap((record) => {
        const job = read(record);
        return job === null ? [] : [{ job, answer: null }];
      });
      return { jobs, commit: () => note(records) };
    },
    leave,
    lag: async () => group.lag(),
    async close() {
      await leave();
      await group.close();
    },
  };
}
