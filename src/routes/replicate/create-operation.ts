/** How every route that makes a prediction describes itself. */
import * as z from "zod";
import type { ZodOpenApiResponseObject } from "zod-openapi";
import type { ErrorCode } from "../../contract/errors.ts";
import { PredictionViewSchema } from "../../contract/present.ts";
import { CreateBodySchema, CreateHeaderSchema } from "./create-body.ts";

const EventSchema = z.object({
  id: z.string().meta({ description: "Send the last one as `Last-Event-ID`, and the stream goes on behind it." }),
  data: z.string(),
});

/** One event of a prediction's stream, in Replicate's form. */
export const StreamEventSchema = EventSchema.extend({ event: z.enum(["output", "logs", "error", "done"]) }).meta({
  id: "StreamEvent",
  description: "A server-sent event.",
});

/** One event of the answer to a `POST` or a `PUT`, in Cog's form. */
const CogEventSchema = EventSchema.extend({
  event: z.enum(["start", "output", "log", "metric", "completed", "error"]),
}).meta({ id: "CogEvent", description: "A server-sent event." });

const CreatedHeaderSchema = z.object({
  Location: z.string().optional().meta({ description: "Where the prediction is read." }),
  RateLimit: z.string().optional().meta({ description: "What is left of each limit, if there are any." }),
  "RateLimit-Policy": z.string().optional().meta({ description: "The limits." }),
  "Edgeplane-Cost": z.string().optional().meta({
    description: "What it costs, where its model has a price: `0.001250000 USD; estimated`, or `final`.",
  }),
  "Idempotent-Replayed": z.literal("true").optional().meta({ description: "The prediction was there before." }),
});

/** What can be done with a prediction that an answer brought. */
export const predictionLinks = {
  getPrediction: { operationId: "getPrediction", parameters: { id: "$response.body#/id" } },
  cancelPrediction: { operationId: "cancelPrediction", parameters: { id: "$response.body#/id" } },
  streamPrediction: { operationId: "streamPrediction", parameters: { id: "$response.body#/id" } },
  listWebhooks: { operationId: "listWebhooks", parameters: { id: "$response.body#/id" } },
};

const created = (description: string): ZodOpenApiResponseObject => ({
  description,
  content: { "application/json": { schema: PredictionViewSchema } },
  headers: CreatedHeaderSchema,
  links: predictionLinks,
});

const errors: ErrorCode[] = [
  "model_not_found",
  "version_not_found",
  "version_deleted",
  "version_pending",
  "idempotency_key_reused",
  "priority_forbidden",
  "model_forbidden",
  "plugins_not_allowed",
  "rejected_by_policy",
  "changed_input_invalid",
  "rate_limited",
  "key_limit_reached",
  "account_limit_reached",
  "model_limit_reached",
  "address_limit_reached",
  "gateway_limit_reached",
  "above_limit",
  "budget_spent",
  "balance_empty",
  "budget_currency",
  "budget_unbounded",
  "queue_full",
  "lane_full",
  "wait_too_long",
  "too_many_streams",
];

/** What they share: headers, body, answers and refusals. */
export const createOperation = {
  tag: "Predictions",
  access: "predictions:write",
  header: CreateHeaderSchema,
  body: {
    schema: CreateBodySchema,
    examples: { hello: { version: "local/hello-world", input: { text: "Ada" } } },
  },
  answers: {
    200: {
      description:
        "The events of the prediction in Cog's form, for `Accept: text/event-stream`; or, to a `PUT`, the prediction that was there.",
      content: {
        "application/json": { schema: PredictionViewSchema },
        "text/event-stream": { schema: CogEventSchema },
      },
      headers: CreatedHeaderSchema,
    },
    201: created("The prediction was accepted, and is finished if that was waited for."),
    202: created("The prediction was accepted; waiting for its end was over first, or not wanted."),
  },
  errors,
} as const;
