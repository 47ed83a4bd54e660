/**
 * Jobs of one lane through the Upstash dialect: of the edge, whose lanes serve their topics themselves, or of a bridge
 * in front of a real cluster. One consumer group a lane, `lane.<name>`; one instance a pool session. The edge claims
 * within the consume call, and nothing is left to commit.
 */
import { UpstashError } from "@upstash/kafka";
import type { ModelRoom } from "../../src/contract/channel.ts";
import {
  CLAIM_RECORD_HEADER,
  MAX_ROOM,
  MODEL_ROOM_HEADER,
  ROOM_HEADER,
  SESSION_HEADER,
} from "../../src/contract/claim.ts";
import { JobSchema, jobTopic } from "../../src/contract/job.ts";
import { priorities } from "../../src/contract/prediction.ts";
import type { Clock } from "../scheduling/clock.ts";
import { parseAnswer } from "./grants.ts";
import { totalRoom } from "./intake.ts";
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
  /** This is the edge: its lanes serve their topics themselves. */
  isServed: boolean;
  lane: string;
  session: string;
  clock: Clock;
  /** Told of records that aren't jobs, and of commits that failed; never of a record's content. */
  onProblem(problem: string): void;
};

export function createUpstashSource(options: UpstashSourceOptions): JobSource {
  const { kafka, lane, session, clock, isServed } = options;
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
    isServed,
    async poll({ rooms, waitMs }) {
      const headers = {
        [ROOM_HEADER]: String(Math.min(totalRoom(rooms), MAX_ROOM)),
        [SESSION_HEADER]: session,
        ...(isServed ? { [MODEL_ROOM_HEADER]: roomHeader(rooms) } : {}),
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
      return {
        jobs,
        commit() {
          if (isServed) return;
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
      if (isServed) return;
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

function roomHeader(rooms: readonly ModelRoom[]): string {
  return JSON.stringify(rooms.map(({ model, version, room, startNow }) => [model, version, room, startNow]));
}
