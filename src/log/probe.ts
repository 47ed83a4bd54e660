/**
 * Asks a log that speaks the Upstash dialect whether the edge can produce there and the pools can read, without
 * producing or joining a group: each thing that can be wrong has its own words. `url`: nobody answers there, or
 * something else; `password`: it doesn't know the user; `username`: rights are missing; `topics`: topics are. With
 * `pool.` before it, it is about the pools' user.
 */
import * as z from "zod";
import { jobTopic } from "../contract/job.ts";
import { priorities } from "../contract/prediction.ts";
import type { LogChoice } from "../registry/log-settings.ts";

export const problemFields = ["url", "password", "username", "topics", "pool.password", "pool.username"] as const;
export type LogProblem = { field: (typeof problemFields)[number]; message: string };

const TIMEOUT_MS = 5000;
/**
 * No topic has it: a log checks rights before it looks for the partition, so that this produce tells whether they are
 * there.
 */
const NO_PARTITION = 999_999;
/**
 * No partition has come so far: a log checks rights before it looks for the offset, so that this fetch brings nothing.
 */
const NO_OFFSET = 2 ** 52;
/** A log takes no more places in one call. */
const MAX_PLACES = 900;

const ErrorSchema = z.object({ error: z.string() });

/** What is wrong with `choice` for these lanes and further topics; null: nothing. */
export async function probeLog(
  choice: LogChoice,
  lanes: readonly string[],
  others: readonly string[] = [],
): Promise<LogProblem | null> {
  if (choice.driver === "embedded") return null;
  const { url, producer, pool } = choice;
  const topics = [...lanes.flatMap(topicsOf), ...others];
  const asEdge: Caller = { url, access: producer, prefix: "" };
  const known = await call(asEdge, "topics", null);
  if (known !== null) return known;
  const there = await callForAll(
    asEdge,
    "offsets/latest",
    topics.map((topic) => ({ topic, partition: 0 })),
  );
  if (there !== null) return there;
  const places = topics.map((topic) => ({ topic, partition: NO_PARTITION, value: "" }));
  const produces = await callForAll(asEdge, "produce", places);
  if (produces !== null) return produces;
  // Without a user of the move's own, pools read with settings of theirs, which each of them checks.
  return pool === null ? null : probePool({ url, access: pool, prefix: "pool." }, lanes);
}

/** Whether pools may read each lane's topics, and use its group. */
async function probePool(asPool: Caller, lanes: readonly string[]): Promise<LogProblem | null> {
  for (const lane of lanes) {
    const places = topicsOf(lane).map((topic) => ({ topic, partition: 0 }));
    const commits = await call(asPool, `committed/${encodeURIComponent(`lane.${lane}`)}/probe`, places);
    if (commits !== null) return commits;
  }
  const ends = lanes.flatMap(topicsOf).map((topic) => ({ topic, partition: 0, offset: NO_OFFSET }));
  for (let at = 0; at < ends.length; at += MAX_PLACES) {
    const topicPartitionOffsets = ends.slice(at, at + MAX_PLACES);
    const reads = await call(asPool, "fetch", { topicPartitionOffsets, timeout: 1 });
    if (reads !== null) return reads;
  }
  return null;
}

function topicsOf(lane: string): string[] {
  return priorities.map((priority) => jobTopic(lane, priority));
}

type Caller = { url: string; access: { username: string; password: string }; prefix: "" | "pool." };

async function callForAll(caller: Caller, path: string, places: readonly object[]): Promise<LogProblem | null> {
  for (let at = 0; at < places.length; at += MAX_PLACES) {
    const problem = await call(caller, path, places.slice(at, at + MAX_PLACES));
    if (problem !== null) return problem;
  }
  return null;
}

/** What is wrong, by the answer to one call; null: nothing. */
async function call(
  { url, access: { username, password }, prefix }: Caller,
  path: string,
  body: object | null,
): Promise<LogProblem | null> {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  const authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${url.replace(/\/+$/, "")}/${path}`, {
      headers: { authorization, "content-type": "application/json" },
      ...(body === null ? {} : { method: "POST", body: JSON.stringify(body) }),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return wrong(
      "url",
      `${url} can't be reached (${why.slice(0, 200)}): check the address, and that it is up (with npm start: EDGEPLANE_OPERATOR_ORIGINS, docs/move-the-log.md)`,
    );
  }
  const said = errorOf(text);
  if (said === null)
    return wrong("url", `${url} is no Kafka over HTTP (it answered ${response.status}, and not in JSON)`);
  if (response.ok) return null;
  const who = prefix === "" ? `the user "${username}"` : `the pools' user "${username}"`;
  if (response.status === 401)
    return wrong(`${prefix}password`, `${url} does not know ${who} and this password: ${said}`);
  if (response.status === 403) return wrong(`${prefix}username`, `${who} lacks a right: ${said}`);
  if (response.status === 404 && path === "topics")
    return wrong("url", `${url} is no Kafka over HTTP (it answered 404): give its base, such as https://…/kafka`);
  // What it says of a partition or an offset that can't be is no problem of ours.
  if (response.status < 500 && (path === "produce" || path === "fetch")) return null;
  if (response.status === 404) return wrong("topics", `a topic is missing: ${said}`);
  return wrong("url", `${url} answered ${response.status}: ${said}`);
}

/** What an answer says of an error, "" where it says none; null when it isn't JSON. */
function errorOf(text: string): string | null {
  try {
    const parsed = ErrorSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data.error.slice(0, 300) : "";
  } catch {
    return null;
  }
}

function wrong(field: LogProblem["field"], message: string): LogProblem {
  return { field, message };
}
