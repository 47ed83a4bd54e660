/** What became of a prediction's webhooks, and another try of one: `/v1/predictions/{id}/webhooks`. */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import { redeliverWebhook, webhookDeliveries } from "../../webhooks/client.ts";
import type { Delivery } from "../../webhooks/types.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { requireScope } from "../authenticate.ts";
import { findOwn } from "./find-own.ts";

export function deliveryRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();
  const own = (c: AppContext): Promise<PredictionSnapshot> =>
    findOwn(c, (id) => shard.getPrediction(c.env, id, c.get("principal").accountId, 0));

  /** The delivery log: every message with its tries. */
  routes.get("/", requireScope("predictions:read"), async (c) => {
    const { id, webhook } = await own(c);
    const deliveries = webhook === null ? [] : await webhookDeliveries(c.env, webhook, id);
    return c.json({ results: deliveries.map(view) });
  });

  routes.post("/:webhookId/redeliver", requireScope("predictions:write"), async (c) => {
    const { id, webhook } = await own(c);
    const webhookId = c.req.param("webhookId");
    const answer = webhook === null ? "not_found" : await redeliverWebhook(c.env, webhook, id, webhookId);
    if (answer === "queued") return c.json({ webhook_id: webhookId, state: "pending" }, 202);
    const why = answer === "gone" ? "The receiver answered 410 and gets no more." : "There is no such webhook.";
    throw new EdgeplaneError("not_found", why);
  });

  return routes;
}

function view(delivery: Delivery) {
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
  };
}
