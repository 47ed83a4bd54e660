/** A row of a sender's `messages`: what is read from it, and what it takes. */
import * as z from "zod";
import type { SqlRow } from "../shard/sql.ts";
import { deliveryStates } from "./types.ts";
import type { Delivery, DeliveryTry, WebhookMessage } from "./types.ts";

/** What a message takes besides its body and URL, about: the row, its index entry, its tries, the receiver's answer. */
export const ROW_BYTES = 1024;

const utf8 = new TextEncoder();

const events = ["start", "output", "logs", "completed"] as const;

const TrySchema = z.object({
  at: z.number(),
  status: z.number().nullable(),
  durationMs: z.number(),
  error: z.string().nullable(),
});

const RowSchema = z.object({
  prediction_id: z.string(),
  webhook_id: z.string(),
  account_id: z.string(),
  url: z.string(),
  event: z.enum(events),
  state: z.enum(deliveryStates),
  wake_at: z.number().nullable(),
  created_at: z.number(),
  finished_at: z.number().nullable(),
  failures: z.number(),
  try_count: z.number(),
  tries: z.string(),
  response: z.string().nullable(),
  reason: z.string().nullable(),
  bytes: z.number(),
});

export type StoredMessage = {
  predictionId: string;
  webhookId: string;
  accountId: string;
  url: string;
  event: WebhookMessage["event"];
  state: Delivery["state"];
  wakeAt: number | null;
  createdAt: number;
  finishedAt: number | null;
  /** Failures that the schedule counts; a redelivery begins at 0 again. */
  failures: number;
  tryCount: number;
  tries: DeliveryTry[];
  response: string | null;
  reason: string | null;
  /** What the row takes at present, about, with its body. */
  bytes: number;
};

/** What an account's messages take, in bytes: those that wait or are sent, and those that have ended. */
export type Usage = { openBytes: number; logBytes: number };

export function toMessage(raw: SqlRow): StoredMessage {
  const row = RowSchema.parse(raw);
  return {
    predictionId: row.prediction_id,
    webhookId: row.webhook_id,
    accountId: row.account_id,
    url: row.url,
    event: row.event,
    state: row.state,
    wakeAt: row.wake_at,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
    failures: row.failures,
    tryCount: row.try_count,
    tries: z.array(TrySchema).parse(JSON.parse(row.tries)),
    response: row.response,
    reason: row.reason,
    bytes: row.bytes,
  };
}

/** Whether a later message says the same and more. What such a one said isn't kept behind its end. */
export function isRepeated(event: WebhookMessage["event"]): boolean {
  return event === "output" || event === "logs";
}

/** What a message takes while it waits, about. */
export function bytesOf({ body, url }: Pick<WebhookMessage, "body" | "url">): number {
  return ROW_BYTES + url.length + utf8.encode(body).byteLength;
}

/** A delivery as its readers see it. */
export function toDelivery(message: StoredMessage): Delivery {
  return {
    webhookId: message.webhookId,
    predictionId: message.predictionId,
    url: message.url,
    event: message.event,
    state: message.state,
    createdAt: message.createdAt,
    nextTryAt: message.state === "pending" ? message.wakeAt : null,
    finishedAt: message.finishedAt,
    tryCount: message.tryCount,
    tries: message.tries,
    response: message.response,
    reason: message.reason,
  };
}
