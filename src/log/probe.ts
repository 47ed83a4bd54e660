/**
 * Asks a log that speaks the Upstash dialect whether it can be produced to, without producing: each thing that can be wrong has its own words.
 * `url`: nobody answers there, or something else; `password`: it doesn't know us; `username`: rights are missing; `topics`: topics are.
 */
import * as z from "zod";
import { jobTopic } from "../contract/job.ts";
import { priorities } from "../contract/prediction.ts";
import type { LogChoice } from "../registry/log-settings.ts";

export type LogProblem = { field: "url" | "password" | "username" | "topics"; message: string };

const TIMEOUT_MS = 5000;
/** No topic has it: a log checks rights before it looks for the partition, so that this produce tells whether they are there. */
const NO_PARTITION = 999_999;

const ErrorSchema = z.object({ error: z.string() });

/** What is wrong with `choice` for these lanes and further topics; null: nothing. */
export async function probeLog(
  choice: LogChoice,
  lanes: readonly string[],
  others: readonly string[] = [],
): Promise<LogProblem | null> {
  if (choice.driver === "embedded") return null;
  const { url, producer } = choice;
  const topics = [...lanes.flatMap((lane) => priorities.map((priority) => jobTopic(lane, priority))), ...others];
  const known = await call(url, producer, "topics", null);
  if ("problem" in known) return known.problem;
  const there = await call(
    url,
    producer,
    "offsets/latest",
    topics.map((topic) => ({ topic, partition: 0 })),
  );
  if ("problem" in there) return there.problem;
  const probes = topics.map((topic) => ({ topic, partition: NO_PARTITION, value: "" }));
  const rights = await call(url, producer, "produce", probes);
  return "problem" in rights && rights.problem.field !== "topics" ? rights.problem : null;
}

type Outcome = { ok: true } | { problem: LogProblem };

async function call(
  url: string,
  { username, password }: { username: string; password: string },
  path: string,
  body: object | null,
): Promise<Outcome> {
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
    return wrong("url", `${url} can't be reached (${why.slice(0, 200)}): check the address, and that it is up`);
  }
  const said = errorOf(text);
  if (said === null)
    return wrong("url", `${url} is no Kafka over HTTP (it answered ${response.status}, and not in JSON)`);
  if (response.ok) return { ok: true };
  if (response.status === 401) return wrong("password", `${url} does not know this user and password: ${said}`);
  if (response.status === 403) return wrong("username", `the user "${username}" lacks a right: ${said}`);
  if (response.status === 404 && path !== "topics") return wrong("topics", `a topic is missing: ${said}`);
  if (response.status === 404)
    return wrong("url", `${url} is no Kafka over HTTP (it answered 404): give its base, such as https://…/kafka`);
  // What it says of a partition that can't be is no problem of ours.
  if (response.status < 500 && path === "produce") return { ok: true };
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

function wrong(field: LogProblem["field"], message: string): Outcome {
  return { problem: { field, message } };
}
