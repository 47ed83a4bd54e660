/** What a client sends to make a prediction: Replicate's fields, and ours. */
import * as z from "zod";
import { PrioritySchema, WebhookEventSchema } from "../../contract/prediction.ts";
import type { Json } from "../../contract/prediction.ts";
import { parseDurationMs } from "./duration.ts";

const MIN_DURATION_MS = 1000;
const MAX_DURATION_MS = 7 * 86_400_000;

/** A duration of 1 s to 7 days: seconds as a number, or a text such as `5m` or `1h30m`. */
export const DurationSchema = z
  .union([z.number().transform((seconds) => Math.round(seconds * 1000)), z.string().transform(parseDurationMs)], {
    error: "must be seconds or a duration such as 30s, 5m or 1h30m",
  })
  .refine((ms) => ms !== null && ms >= MIN_DURATION_MS && ms <= MAX_DURATION_MS, {
    error: "must be a duration from 1s to 168h, such as 30s, 5m or 1h30m",
  })
  .transform((ms) => ms ?? MIN_DURATION_MS);

const ReferenceSchema = z.string().min(1).max(256);

/** The body came from JSON text, so that what is an object here is a JSON object all the way down. */
const InputSchema = z.custom<{ [key: string]: Json }>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "must be an object",
);

export const CreateBodySchema = z.object({
  /** `owner/name`, `owner/name:version`, or a version's 64 hexadecimal digits. */
  version: ReferenceSchema.nullish(),
  /** `owner/name`. */
  model: ReferenceSchema.nullish(),
  input: InputSchema,
  webhook: z.string().max(2048).nullish(),
  webhook_events_filter: z.array(WebhookEventSchema).max(16).nullish(),
  stream: z.boolean().nullish(),
  priority: PrioritySchema.nullish(),
  /** How long it may wait for its start. */
  start_timeout: DurationSchema.nullish(),
  /** How long it may take in all, from acceptance. */
  timeout: DurationSchema.nullish(),
  /** A client that leaves while its request is held wants the prediction canceled. */
  cancel_on_disconnect: z.boolean().nullish(),
});
export type CreateBody = z.output<typeof CreateBodySchema>;
