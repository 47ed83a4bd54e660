/**
 * Jobs of one lane through the Upstash dialect: the embedded log, or a bridge in front of a real cluster. One
 * consumer group a lane, `lane.<name>`; one instance a pool session. The embedded log claims within the consume call,
 * and commits what it claimed by itself.
 */
import { UpstashError } from "@upstash/kafka";
import { CLAIM_HEADER, CLAIM_RECORD_HEADER, ROOM_HEADER, SESSION_HEADER } from "../../src/contract/claim.ts";
import { JobSchema, jobTopic } from "../../src/contract/job.ts";
import { priorities } from "../../src/contract/prediction.ts";
import type { Clock } from "../scheduling/clock.ts";
import { parseAnswer } from "./grants.ts";
import type { JobSource, SourcedJob } from "./job-source.ts";
import type { UpstashKafka } from "./upstash-kafka.ts";

/** Beyond the wait that was asked for, how long a call may take. */
const CALL_TIMEOUT_MS = 10_000;
/** Commits of quick polls are sent together: a commit that is late only repeats a hint. */
const COMMIT_DELAY_MS = 200;

type Message = {
  topic: string;
  partition: number;
  offset: number;
  value: string;
  headers?: { key: string; value: string }[];
};

export type UpstashSourceOptions = {
  kafka: UpstashKafka;
  lane: string;
  session: string;
  clock: Clock;
  /** Told of records that aren't jobs, and of commits that failed; never of a record's content. */
  onProblem(problem: string): void;
};

export function createUpstashSource(options: UpstashSourceOptions): JobSource {
  const { kafka, lane, session, clock } = options;
  const member = { consumerGroupId: `lane.${lane}`, instanceId: session };
  const topics = priorities.map((priority) => jobTopic(lane, priority));
  const uncommitted = new Map<string, { topic: string; partition: number; offset: number }>();
  let commitDue = false;

  async function sendCommit(): Promise<void> {
    commitDue = false;
    if (uncommitted.size === 0) return;
    const offset = [...uncommitted.values()];
    uncommitted.clear();
    try {
      const consumer = kafka.with({ timeoutMs: CALL_TIMEOUT_MS, headers: { [SESSION_HEADER]: session } }).consumer();
      await consumer.commit({ ...member, offset });
    } catch (error) {
      options.onProblem(`commit on lane ${lane} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  function read(message: Message): SourcedJob | null {
    try {
      const job = JobSchema.parse(JSON.parse(message.value));
      const attached = message.headers?.find((header) => header.key === CLAIM_RECORD_HEADER);
      return { job, answer: attached === undefined ? null : parseAnswer(attached.value) };
    } catch {
      options.onProblem(`${message.topic}[${message.partition}]@${message.offset} is not a job; skipped`);
      return null;
    }
  }

  return {
    lane,
    async poll({ room, startNow, waitMs }) {
      const headers = {
        [ROOM_HEADER]: String(room),
        [CLAIM_HEADER]: `${session};start=${startNow}`,
        [SESSION_HEADER]: session,
      };
      const consumer = kafka.with({ timeoutMs: waitMs + CALL_TIMEOUT_MS, headers }).consumer();
      const messages: Message[] = await consumer.consume({
        ...member,
        topics,
        timeout: waitMs,
        autoCommit: false,
        autoOffsetReset: "earliest",
      });
      const jobs: SourcedJob[] = [];
      for (const message of messages) {
        const job = read(message);
        if (job !== null) jobs.push(job);
      }
      const claimed = jobs.length > 0 && jobs.every(({ answer }) => answer !== null);
      return {
        jobs,
        commit() {
          if (claimed) return;
          for (const { topic, partition, offset } of messages) {
            const key = `${topic}/${partition}`;
            const next = offset + 1;
            if ((uncommitted.get(key)?.offset ?? 0) < next) uncommitted.set(key, { topic, partition, offset: next });
          }
          if (commitDue || messages.length === 0) return;
          commitDue = true;
          clock.after(COMMIT_DELAY_MS, () => void sendCommit());
        },
      };
    },
    async leave() {
      await sendCommit();
      const headers = { [SESSION_HEADER]: session };
      const admin = kafka.with({ timeoutMs: 2000, headers }).admin();
      await admin.removeConsumerInstance(member.consumerGroupId, member.instanceId).catch((error: unknown) => {
        // The log has forgotten an instance that was idle: it has left already.
        if (!(error instanceof UpstashError) || error.status !== 404) throw error;
      });
    },
  };
}
