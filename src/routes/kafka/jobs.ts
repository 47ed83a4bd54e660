/**
 * Job topics on the embedded log, which their lanes serve as a share group is served (KIP-932): any pool takes the next
 * jobs that it can run, in the lane's order. There are no partitions, members or offsets to own. What a pool takes is
 * granted within the call; others may look at what waits, which has no input.
 */
import * as z from "zod";
import { CLAIM_RECORD_HEADER, MODEL_ROOM_HEADER, SESSION_HEADER } from "../../contract/claim.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { jobTopic } from "../../contract/job.ts";
import type { Priority } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import { jobOf } from "../../lane/job-of.ts";
import { versionKey } from "../../lane/types.ts";
import type { EntryRef, LaneEntry } from "../../lane/types.ts";
import { laneOfTopic } from "../../log/names.ts";
import type { LogMessage, TopicPartitionOffset } from "../../log/protocol.ts";
import { objectNamed } from "../../object-calls.ts";
import { parse } from "../../contract/kafka-schemas.ts";
import { claimJobs } from "../../shard/client.ts";
import type { Given } from "./calls.ts";

/** Jobs that one poll brings of a lane; a pool that has more room polls again. */
const MAX_JOBS = 200;
const MAX_PEEKED = 100;
/** How often one poll takes from a lane; beyond it what waits is pushed half a second later. */
const MAX_TAKES = 4;

/** `[[model, version, room, startNow], …]` */
const RoomsSchema = z
  .array(z.tuple([z.string(), z.string(), z.number().int().min(0), z.number().int().min(0)]))
  .max(500);
const SESSION = /^[A-Za-z0-9_-]{8,64}$/;

type Rooms = z.infer<typeof RoomsSchema>;
type LaneRoom = [key: string, room: number, startNow: number];

/** The lanes whose topics are among these. Throws when there are others besides: one call asks one of both. */
export function lanesOf(topics: Iterable<string>): string[] {
  const lanes = Array.from(topics, (topic) => laneOfTopic(topic)?.lane ?? null);
  const found = new Set(lanes.filter((lane) => lane !== null));
  if (found.size > 0 && lanes.includes(null)) {
    throw new EdgeplaneError(
      "invalid_request",
      "Name job topics (`jobs.…`) in calls of their own: lanes serve them, not the log.",
    );
  }
  return [...found];
}

/** A pool takes what it has room for, granted. Never waits: the control channel says when there is more. */
export async function pollJobs(
  { request, principal, env }: Given,
  lanes: readonly string[],
  topics: readonly string[],
): Promise<LogMessage[]> {
  if (principal.lanes === null) {
    throw new EdgeplaneError(
      "topic_forbidden",
      "Only a pool's token may consume job topics: each job goes to one pool, that runs it. Use `/fetch` to look at what waits.",
    );
  }
  const session = request.header(SESSION_HEADER) ?? "";
  if (!SESSION.test(session)) {
    throw new EdgeplaneError(
      "invalid_request",
      `Name the pool's session in \`${SESSION_HEADER}\`: 8 to 64 letters, digits, \`_\` and \`-\`.`,
    );
  }
  const rooms = roomsOf(request.header(MODEL_ROOM_HEADER));
  const wanted = new Set(topics);
  const polled = await Promise.all(lanes.map(async (lane) => pollLane(env, lane, session, rooms)));
  return polled.flat().filter(({ topic }) => wanted.has(topic));
}

/** An empty answer ends a pool's polling: where all that the lane gave waits no longer, it is asked for more. */
async function pollLane(env: Env, lane: string, session: string, rooms: Rooms): Promise<LogMessage[]> {
  const byVersion = rooms.map(([model, version, room, startNow]): LaneRoom => [
    versionKey({ model, version }),
    room,
    startNow,
  ]);
  for (let tries = 0; tries < MAX_TAKES; tries += 1) {
    const entries = await laneOf(env, lane).take(lane, session, byVersion, MAX_JOBS);
    const records = await claimTaken(env, lane, session, byVersion, entries);
    if (records.length > 0 || entries.length === 0) return records;
  }
  return [];
}

async function claimTaken(
  env: Env,
  lane: string,
  session: string,
  byVersion: readonly LaneRoom[],
  entries: readonly LaneEntry[],
): Promise<LogMessage[]> {
  if (entries.length === 0) return [];
  const starts = new Map(byVersion.map(([key, , startNow]) => [key, startNow]));
  const jobs = entries.map((entry) => {
    const left = starts.get(versionKey(entry)) ?? 0;
    starts.set(versionKey(entry), left - 1);
    return { id: entry.id, startNow: left > 0 };
  });
  const answers = await claimJobs(env, { session, jobs }, { lanes: [lane] });
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  const gone = entries.filter(({ id }) => byId.get(id)?.verdict === "refused");
  const dismissed = gone.length > 0 ? laneOf(env, lane).dismiss(lane, gone) : null;
  if (gone.length === entries.length) await dismissed;
  return entries.flatMap((entry, index) => {
    const answer = byId.get(entry.id);
    if (answer?.verdict !== "granted") return [];
    const record = recordOf(lane, entry, index);
    return { ...record, headers: [...record.headers, { key: CLAIM_RECORD_HEADER, value: JSON.stringify(answer) }] };
  });
}

/** What waits, from a place in the line on: an offset counts from the oldest that waits now. */
export async function peekJobs({ env }: Given, from: readonly TopicPartitionOffset[]): Promise<LogMessage[]> {
  const found = from.map(async ({ topic, offset }) => {
    const place = laneOfTopic(topic);
    if (place === null) return [];
    const entries = await laneOf(env, place.lane).peek(place.priority, offset, MAX_PEEKED);
    return entries.map((entry, index) => recordOf(place.lane, entry, offset + index));
  });
  return (await Promise.all(found)).flat();
}

function recordOf(lane: string, entry: LaneEntry, offset: number): LogMessage {
  return {
    topic: jobTopic(lane, entry.priority),
    partition: 0,
    offset,
    timestamp: entry.createdAt,
    key: entry.id,
    value: JSON.stringify(jobOf(lane, entry, 0)),
    headers: entry.traceparent === null ? [] : [{ key: "traceparent", value: entry.traceparent }],
  };
}

function roomsOf(header: string | undefined): Rooms {
  const example = `\`${MODEL_ROOM_HEADER}: [["local/echo", "<version>", 2, 1]]\``;
  try {
    return parse(RoomsSchema, JSON.parse(header ?? ""), MODEL_ROOM_HEADER);
  } catch (error) {
    if (error instanceof EdgeplaneError) throw error;
    throw new EdgeplaneError("invalid_request", `Say what the pool has room for, as JSON: ${example}.`);
  }
}

/** A lane as this route sees it; the platform's own stub type walks through every type of the signatures. */
type RemoteLane = {
  take(lane: string, session: string, rooms: LaneRoom[], max: number): Promise<LaneEntry[]>;
  dismiss(lane: string, refs: EntryRef[]): Promise<void>;
  peek(priority: Priority, offset: number, limit: number): Promise<LaneEntry[]>;
};

function laneOf(env: Env, lane: string): RemoteLane {
  const stub: unknown = objectNamed(env.LANE, lane);
  return stub as RemoteLane;
}
