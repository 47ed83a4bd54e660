/** What became of a prediction's webhooks, and another try of one: `/v1/predictions/{id}/webhooks`. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { WebhookEventSchema } from "../../contract/prediction.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import { redeliverWebhook, webhookDeliveries } from "../../webhooks/client.ts";
import { deliveryStates } from "../../webhooks/types.ts";
import type { Delivery } from "../../webhooks/types.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { json, operation } from "../operation.ts";
import { findOwn } from "./find-own.ts";

const PathSchema = z.object({ id: z.string().meta({ description: "The prediction's id." }) });

const DeliverySchema = z
  .object({
    webhook_id: z.string(),
    url: z.string(),
    event: WebhookEventSchema,
    state: z.enum(deliveryStates),
    created_at: z.iso.datetime(),
    next_try_at: z.iso.datetime().nullable(),
    finished_at: z.iso.datetime().nullable(),
    try_count: z.number().int(),
    tries: z
      .array(
        z.object({
          at: z.number().meta({ description: "Milliseconds since the epoch." }),
          status: z.number().int().nullable().meta({ description: "Null when no answer came." }),
          durationMs: z.number(),
          error: z.string().nullable(),
        }),
      )
      .meta({ description: "The latest tries." }),
    response: z.string().nullable().meta({ description: "What the receiver said last, at most 4 KiB." }),
    reason: z.string().nullable().meta({ description: "Why it ended without delivery." }),
  })
  .meta({ id: "WebhookDelivery" });

const QueuedSchema = z.object({ webhook_id: z.string(), state: z.literal("pending") });

export function deliveryRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();
  const own = (c: AppContext): Promise<PredictionSnapshot> =>
    findOwn(c, (id) => shard.getPrediction(c.env, id, c.get("principal").accountId, 0));

  routes.get(
    "/",
    operation(
      {
        id: "listWebhooks",
        tag: "Predictions",
        summary: "Read what became of a prediction's webhooks",
        access: "predictions:read",
        path: PathSchema,
        answers: { 200: json(z.object({ results: z.array(DeliverySchema) }), "Every message with its tries.") },
      },
      async (c) => {
        const { id, webhook } = await own(c);
        const deliveries = webhook === null ? [] : await webhookDeliveries(c.env, webhook, id);
        return c.json({ results: deliveries.map(view) });
      },
    ),
  );

  routes.post(
    "/:webhookId/redeliver",
    operation(
      {
        id: "redeliverWebhook",
        tag: "Predictions",
        summary: "Send a webhook again",
        access: "predictions:write",
        path: PathSchema.extend({ webhookId: z.string() }),
        answers: { 202: json(QueuedSchema, "It is queued.") },
      },
      async (c, { path: { webhookId } }) => {
        const { id, webhook } = await own(c);
        const answer = webhook === null ? "not_found" : await redeliverWebhook(c.env, webhook, id, webhookId);
        if (answer === "queued") return c.json({ webhook_id: webhookId, state: "pending" }, 202);
        const why = answer === "gone" ? "The body of this message is no longer kept." : "There is no such webhook.";
        throw new EdgeplaneError("not_found", why);
      },
    ),
  );

  return routes;
}

function view(delivery: Delivery): z.output<typeof DeliverySchema> {
  return {
    webhook_id: delivery.webhookId,
    url: delivery.url,
    event: delivery.event,
    state: delivery.state,
    created_at: new Date(delivery.createdAt).toISOString(),
    next_try_at: delivery.nextTryAt === null ? null : new Date(delivery.nextTryAt).toISOString(),
    finished_at: delivery.finishedAt === null ? null : new Date(delivery.finishedAt).toISOString(),
    try_count: delivery.tryCount,
    tries: delivery.tries,
    response: delivery.response,
    reason: delivery.reason,
  };
}
