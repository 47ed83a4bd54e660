/** What a client sends to make a prediction, in the body and in headers: Replicate's fields, and ours. */
import * as z from "zod";
import { PrioritySchema, WebhookEventSchema } from "../../contract/prediction.ts";
import type { Json } from "../../contract/prediction.ts";
import { DURATION, parseDurationMs } from "./duration.ts";
import { parsePrefer } from "./prefer.ts";
import { LastEventIdSchema } from "./stream.ts";

const MIN_DURATION_S = 1;
const MAX_DURATION_S = 7 * 86_400;
const NO_DURATION = "must be from 1s to 168h: seconds, or a duration such as 30s, 5m or 1h30m";

/** A duration of 1 s to 7 days as a text, in milliseconds. */
const DurationTextSchema = z
  .string()
  .transform((text) => parseDurationMs(text) ?? 0)
  .refine((ms) => ms >= MIN_DURATION_S * 1000 && ms <= MAX_DURATION_S * 1000, NO_DURATION)
  .meta({ examples: ["30s", "5m", "1h30m"] });

/** The same, or seconds as a number. */
const DurationSchema = z.union(
  [
    z
      .number()
      .min(MIN_DURATION_S)
      .max(MAX_DURATION_S)
      .transform((seconds) => Math.round(seconds * 1000)),
    DurationTextSchema,
  ],
  NO_DURATION,
);

/**
 * A duration in a header. Less than 1 s is taken for 1 s, more than 168 h for 168 h: a prediction ends sooner anyway.
 */
const CancelAfterSchema = z
  .string()
  .max(64)
  .regex(DURATION, "must be seconds, or a duration such as 30s, 5m or 1h30m")
  .transform((text) => Math.min(Math.max(parseDurationMs(text) ?? 0, MIN_DURATION_S * 1000), MAX_DURATION_S * 1000));

const ReferenceSchema = z.string().min(1).max(256);

/** The body came from JSON text, so that what is an object here is a JSON object all the way down. */
const InputSchema = z
  .custom<{ [key: string]: Json }>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "must be an object",
  )
  .meta({ override: { type: "object" }, description: "As the version's schema has it." });

export const CreateBodySchema = z
  .object({
    version: ReferenceSchema.nullish().meta({
      description: "`owner/name`, `owner/name:version`, `owner/name:alias`, or a version's 64 hexadecimal digits.",
    }),
    model: ReferenceSchema.nullish().meta({ description: "`owner/name`, in place of `version`." }),
    input: InputSchema,
    webhook: z.string().max(2048).nullish().meta({ description: "Where to send events; `https` to a public host." }),
    webhook_events_filter: z.array(WebhookEventSchema).max(16).nullish().meta({ description: "Which; all of them." }),
    stream: z
      .boolean()
      .nullish()
      .meta({ description: "Whether to offer `urls.stream`; as the model yields its output." }),
    priority: PrioritySchema.nullish().meta({
      description: "Its place in the lane: `high`, `normal` (the default) or `low`; at most what the key may ask for.",
    }),
    start_timeout: DurationSchema.nullish().meta({ description: "How long it may wait for its start." }),
    timeout: DurationSchema.nullish().meta({ description: "How long it may take in all, from acceptance." }),
    cancel_on_disconnect: z
      .boolean()
      .nullish()
      .meta({ description: "A client that leaves while its request is held cancels the prediction." }),
  })
  .meta({ id: "NewPrediction" });
export type CreateBody = z.output<typeof CreateBodySchema>;

export const CreateHeaderSchema = z.object({
  Prefer: z
    .string()
    .optional()
    .transform(parsePrefer)
    .meta({
      description:
        "`wait` or `wait=n`: hold the answer until the prediction is finished, 60 or n seconds (1 to 60) at most. `respond-async`: answer 202 at once.",
      examples: ["wait=5", "respond-async"],
    }),
  "Cancel-After": CancelAfterSchema.optional().meta({
    description: "End it as `canceled` this long after acceptance, from 1 s to 168 h.",
    examples: ["90s", "5m"],
  }),
  "Idempotency-Key": z.string().min(1).max(255).optional().meta({
    description: "The same key with the same payload is the same prediction; with another payload it is refused.",
  }),
  "Last-Event-ID": LastEventIdSchema,
  traceparent: z.string().optional().meta({ description: "W3C trace context; it is carried to the model." }),
});
export type CreateHeader = z.output<typeof CreateHeaderSchema>;
