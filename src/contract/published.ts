/**
 * What the edge publishes of ended predictions, for whoever wants to consume it: one record a topic, at least once,
 * keyed so that a repeated record has the key of the first. No record carries input, a message of the model, or the
 * secret of a key.
 *
 *   results    every ended prediction; `output` only where the operator turned that on
 *   usage      every usage record (src/metering/record.ts) as a CloudEvent, from the meter of its account; with
 *              `PUBLISH_USAGE=v1` what an ended prediction's last start used, as releases before published it
 *   audit      what plugins decided, refused requests included: from the isolate that it was decided in (src/audit)
 *   jobs.dlq   ended without an answer of the model. A bridge's rights go by prefix, so that pools may be able to
 *              read it: like a job record it names no account
 */
import * as z from "zod";
import type { ErrorCode } from "./errors.ts";
import { LaneNameSchema } from "./job.ts";
import { JsonSchema, PrioritySchema } from "./prediction.ts";
import { verdictActions } from "./verdict.ts";

/**
 * What plugins decided; on while the plugin `webhook-log` is. It names accounts and keys: no pool has a right to it.
 */
export const AUDIT_TOPIC = "audit";

export const publishedTopics = ["results", "usage", "jobs.dlq"] as const;
export type PublishedTopic = (typeof publishedTopics)[number];

/** Why a prediction is a dead letter: no model said anything against its input. */
export const deadLetterReasons = [
  "undeliverable",
  "attempts_exhausted",
  "deadline_before_start",
  "timed_out",
  "interrupted",
  "model_crashed",
  "model_unresponsive",
  "setup_failed",
] as const satisfies ErrorCode[];
export type DeadLetterReason = (typeof deadLetterReasons)[number];

/** The record header of a dead letter that carries its reason. */
export const REASON_HEADER = "reason";

/** Milliseconds since the epoch. */
const TimeSchema = z.number().int();
const EndedSchema = z.object({
  v: z.literal(1),
  /** `owner/name`, and the SHA-256 of the upload. */
  model: z.string(),
  version: z.string(),
  lane: LaneNameSchema,
  priority: PrioritySchema,
  /** Counted starts; 0 when it never started. */
  attempt: z.number().int().nonnegative(),
  createdAt: TimeSchema,
  startedAt: TimeSchema.nullable(),
  completedAt: TimeSchema,
  /** The plugin that asked, where no client did: a guard's question to its model. */
  askedBy: z.string().optional(),
});

export const ResultRecordSchema = EndedSchema.extend({
  /** The prediction's id; also the record's key. */
  id: z.string(),
  account: z.string(),
  status: z.enum(["succeeded", "failed", "canceled", "aborted"]),
  /** Of the error table; the message stays with the prediction, as it may quote the input. */
  errorCode: z.string().nullable(),
  /** Numbers only: `predict_time` and `total_time` in seconds, and what the model measured. */
  metrics: z.record(z.string(), z.number()),
  /** The dead letter that this one repeats. */
  replayOf: z.string().nullable(),
  /** With `PUBLISH_OUTPUT=1`, unless it is larger than 256 KiB or a blob. */
  output: JsonSchema.optional(),
});
export type ResultRecord = z.infer<typeof ResultRecordSchema>;

/** A record of `usage` with `PUBLISH_USAGE=v1`. */
export const UsageRecordSchema = EndedSchema.extend({
  /**
   * `<prediction>.<attempt>`; also the record's key. Count each id once, by its latest record: a run may end after its
   * prediction.
   */
  id: z.string(),
  prediction: z.string(),
  account: z.string(),
  status: ResultRecordSchema.shape.status,
  /** Seconds that the model ran, as the pool measured them; else from the first start to the end. */
  predictTimeS: z.number().nonnegative(),
  /** As the model reported them (`input_token_count`, `output_token_count`); null where it didn't. */
  inputTokens: z.number().nonnegative().nullable(),
  outputTokens: z.number().nonnegative().nullable(),
});
export type UsageRecord = z.infer<typeof UsageRecordSchema>;

export const DeadLetterRecordSchema = EndedSchema.extend({
  /** The prediction's id; also the record's key. */
  id: z.string(),
  reason: z.enum(deadLetterReasons),
});
export type DeadLetterRecord = z.infer<typeof DeadLetterRecordSchema>;

/** A record of `audit`; never a text that was judged. What isn't known is null. */
export const AuditRecordSchema = z.object({
  v: z.literal(1),
  /** Unique; a record that comes twice has the same. The record's key is the account, or `unknown`. */
  id: z.string(),
  at: TimeSchema,
  /** The number of the settings that held. */
  settings: z.number().int().nullable(),
  plugin: z.string(),
  phase: z.string(),
  action: z.enum(verdictActions),
  /** Of the error table: of a refusal, or of what would have been one. */
  code: z.string().nullable(),
  findings: z.array(z.object({ category: z.string(), rule: z.string() })),
  account: z.string().nullable(),
  /** The id of the API key; for a JSON Web Token `jwt:`, its issuer and its subject. */
  credential: z.string().nullable(),
  request: z.string().nullable(),
  prediction: z.string().nullable(),
  model: z.string().nullable(),
  version: z.string().nullable(),
});
export type AuditRecord = z.infer<typeof AuditRecordSchema>;

/** The reason that an error code stands for, or null when the prediction is no dead letter. */
export function deadLetterReason(errorCode: string | null): DeadLetterReason | null {
  return deadLetterReasons.find((reason) => reason === errorCode) ?? null;
}
