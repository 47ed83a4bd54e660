/** What a shard hands to the sender of a receiver's host, and what readers of the delivery log get. */

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

/**
 * Where a message is. `pending`: the next of its prediction to go. `waiting`: an earlier one of its prediction is
 * pending. `superseded`: a later one says the same and more. `disabled`: the receiver answered 410 for this URL. The
 * last four are final.
 */
export const deliveryStates = ["pending", "waiting", "delivered", "failed", "superseded", "disabled"] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** One try. `status` is null when no answer came; then, or when the answer wasn't 2xx, `error` says why. */
export type DeliveryTry = { at: number; status: number | null; durationMs: number; error: string | null };

/** A row of the delivery log. Times are milliseconds since the epoch. */
export type Delivery = {
  webhookId: string;
  predictionId: string;
  url: string;
  event: WebhookMessage["event"];
  state: DeliveryState;
  createdAt: number;
  /** When the next try is due; null unless `pending`. */
  nextTryAt: number | null;
  finishedAt: number | null;
  /** Tries in all; `tries` lists the latest of them. */
  tryCount: number;
  tries: DeliveryTry[];
  /** What the receiver said last, at most 4 KiB. */
  response: string | null;
  /** Why it ended without delivery. */
  reason: string | null;
};

/** How a request to send again ended. `gone`: the log knows the message, but its body was too large to be kept. */
export type RedeliverAnswer = "queued" | "not_found" | "gone";
