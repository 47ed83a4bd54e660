/** The webhook messages of a prediction, as the shard's outbox keeps them until their sender has them. */
import type { PredictionSnapshot, WebhookEvent } from "../contract/prediction.ts";

/** The body is made when it leaves: links in it are signed. */
export type PendingWebhook = {
  webhookId: string;
  url: string;
  event: WebhookEvent;
  snapshot: PredictionSnapshot;
  createdAt: number;
};

/** `webhookId` is the same at every try of the same message: receivers de-duplicate by it. */
export function webhookMessage(event: WebhookEvent, snapshot: PredictionSnapshot, now: number): PendingWebhook {
  const { id, webhook, attempt } = snapshot;
  const suffix = event === "completed" || event === "start" ? event : `${event}_${attempt}_${now}`;
  return { webhookId: `msg_${id}_${suffix}`, url: webhook ?? "", event, snapshot, createdAt: now };
}
