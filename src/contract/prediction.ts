/** What a prediction is, everywhere: its statuses, its priorities, and the snapshot of it that travels. */
import * as z from "zod";
import type { CostView } from "./price.ts";
import type { VerdictRecord } from "./verdict.ts";
import type { ColdStart } from "./cold-start.ts";

export const statuses = ["starting", "processing", "succeeded", "failed", "canceled", "aborted"] as const;
export const StatusSchema = z.enum(statuses).meta({
  id: "Status",
  description:
    "`starting`: accepted, it waits. `processing`: it runs. `succeeded`, `failed`, `canceled`, and `aborted` (the deadline passed before it started) are the ends.",
});
export type Status = z.infer<typeof StatusSchema>;

const terminal: ReadonlySet<Status> = new Set<Status>(["succeeded", "failed", "canceled", "aborted"]);

export function isTerminal(status: Status): boolean {
  return terminal.has(status);
}

/** The priorities of a lane, most urgent first; each has its own topic. */
export const priorities = ["high", "normal", "low"] as const;
export const PrioritySchema = z.enum(priorities);
export type Priority = z.infer<typeof PrioritySchema>;

export const webhookEvents = ["start", "output", "logs", "completed"] as const;
export const WebhookEventSchema = z.enum(webhookEvents);
export type WebhookEvent = z.infer<typeof WebhookEventSchema>;

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/**
 * A value that came out of `JSON.parse`: JSON all the way down by that, so that it is not walked again. (`z.json()`
 * takes ten times as long as the parsing: 0.9 ms for an embedding of 768 numbers.) Only for values that were parsed
 * from text.
 */
export const JsonSchema: z.ZodType<Json> = z.custom<Json>((value) => value !== undefined, "must be there");

/** Which model runs it. `version` is the SHA-256 that names the upload. */
export const ModelRefSchema = z.object({ owner: z.string(), name: z.string(), version: z.string() });
export type ModelRef = z.infer<typeof ModelRefSchema>;

/** The error of a prediction that ended without success. `code` is one of the error table's. */
export const PredictionErrorSchema = z.object({ code: z.string(), message: z.string() });
export type PredictionError = z.infer<typeof PredictionErrorSchema>;

/** Who is ahead: the account's own, those of others in the same priority, and those of other priorities. */
export type Ahead = { own: number; shared: number; priority: number };

/**
 * A prediction's place: how many start before it, of whom, and in how many milliseconds it should start. `position` is
 * null where no pool serves its version, `etaMs` where nobody can say.
 */
export type QueuePlace = {
  position: number | null;
  etaMs: number | null;
  ahead: Ahead | null;
  /** What the ETA is made of, where no instance of its version is ready; `turnMs`: for those before it. */
  estimate?: ColdStart & { turnMs: number };
};

/** What the shard tells about a prediction. Times are milliseconds since the epoch. */
export type PredictionSnapshot = {
  id: string;
  accountId: string;
  model: ModelRef;
  lane: string;
  priority: Priority;
  status: Status;
  /** The input as it was sent, or null once its retention ended, or the key of its blob. */
  input: Json;
  inputBlob: string | null;
  output: Json;
  outputBlob: string | null;
  error: PredictionError | null;
  logs: string;
  metrics: Record<string, Json>;
  createdAt: number;
  startedAt: number | null;
  completedAt: number | null;
  /** Absolute deadlines: to start, and in all. */
  startBy: number;
  endBy: number;
  attempt: number;
  /** The origin (scheme and host) that the client used: links are made from it. */
  origin: string;
  stream: boolean;
  webhook: string | null;
  /** Who asked: `api` or `web`. */
  source: "api" | "web";
  replayOf: string | null;
  /** `owner/name` of the deployment that chose the version. */
  deployment: string | null;
  queue: QueuePlace | null;
  /** What plugins decided over it, if they did. */
  verdicts?: VerdictRecord[];
  /** What it costs its account, where its model has a price. */
  cost?: CostView;
};
