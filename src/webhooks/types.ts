/** What a shard hands to the sender of a receiver's host. */

/** One message. `webhookId` is the same at every try; receivers de-duplicate by it. */
export type WebhookMessage = {
  webhookId: string;
  predictionId: string;
  accountId: string;
  url: string;
  event: "start" | "output" | "logs" | "completed";
  /** The JSON body, the prediction as `GET` would have shown it at that time. */
  body: string;
  createdAt: number;
};
