/** Claims: a pool asks for jobs, the shard grants. Only a grant lets a job run, and the grant brings the input. */
import * as z from "zod";
import { JsonSchema, ModelRefSchema } from "./prediction.ts";

export const ClaimRequestSchema = z.object({
  session: z.string().min(8).max(64),
  /** `startNow`: the pool starts it at once, and the claim counts that start. */
  jobs: z
    .array(z.object({ id: z.string(), epoch: z.number().int().optional(), startNow: z.boolean().default(false) }))
    .max(1000),
});
export type ClaimRequest = z.infer<typeof ClaimRequestSchema>;

export const GrantSchema = z.object({
  id: z.string(),
  verdict: z.literal("granted"),
  token: z.string(),
  /** The number of the start that this claim counted, or that the `starting` event will count. */
  attempt: z.number().int(),
  /** True: run it now, its start is counted. False: send `starting` and wait for its acknowledgement first. */
  startNow: z.boolean(),
  /** True of one that may be what its pools died of: it must run in a batch of its own, no other such one beside it. */
  alone: z.boolean(),
  model: ModelRefSchema,
  /** The input, unless it is a blob: then the path, relative to the edge, to fetch it from. */
  input: JsonSchema.optional(),
  inputBlob: z.string().optional(),
  /** Durations that remain, to be measured on a monotonic clock. */
  startInMs: z.number(),
  endInMs: z.number(),
  /** How long one run of it may take, in place of what its model says. */
  runLimitMs: z.number().optional(),
  cost: z.number(),
  stream: z.boolean(),
  /** The seq of the next event of this claim. */
  seq: z.number().int(),
  traceparent: z.string().optional(),
});
export type Grant = z.infer<typeof GrantSchema>;

export const refusals = ["terminal", "granted_elsewhere", "aborted", "out_of_scope", "unknown", "old_epoch"] as const;

export const ClaimAnswerSchema = z.discriminatedUnion("verdict", [
  GrantSchema,
  z.object({ id: z.string(), verdict: z.literal("refused"), reason: z.enum(refusals) }),
  /** Ask again: the shard was slow, or the reply is full. */
  z.object({ id: z.string(), verdict: z.literal("later") }),
]);
export type ClaimAnswer = z.infer<typeof ClaimAnswerSchema>;

export const ClaimReplySchema = z.object({ claims: z.array(ClaimAnswerSchema) });
export type ClaimReply = z.infer<typeof ClaimReplySchema>;

/** Header of a consume that limits how many records it returns, to `MAX_ROOM` at most. */
export const ROOM_HEADER = "edgeplane-room";
export const MAX_ROOM = 10_000;
/**
 * Header of a consume of job topics: what the pool has room for, as JSON, `[[model, version, room, startNow], …]`;
 * models without room are left out. The lane gives no more of each than that.
 */
export const MODEL_ROOM_HEADER = "edgeplane-model-room";
/** Key of the record header that carries a claim's answer, as JSON. */
export const CLAIM_RECORD_HEADER = "edgeplane-claim";
/** Header that names the pool's session in every call of the pool's API. */
export const SESSION_HEADER = "edgeplane-session";
