/** How the rest of the edge reaches the senders: one object per receiver's host. */
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import type { ObjectTimers } from "../object-timers.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { checkTarget } from "./target.ts";
import type { Delivery, RedeliverAnswer, WebhookMessage } from "./types.ts";

const MAX_MESSAGES = 500;
const MAX_CHARS = 1_000_000;
/** Calls at a time: the platform gives a context six connections. */
const MAX_CALLS = 4;
/** A sender that takes longer is tried again later: nobody else's messages wait for it. */
const PATIENCE_MS = 10_000;
/** The object that keeps the log of messages whose URL names no host that may be called. */
const REFUSED = "refused";

type Senders = Pick<Env, "WEBHOOKS" | "ALLOW_LOOPBACK_TARGETS">;

/**
 * Hands messages to their senders; answers the receivers (as `receiverOf` names them) whose senders did not take all of
 * theirs, and why. What the others got is durable there. Handing messages over again is harmless: each counts once by
 * its `webhookId`.
 */
export async function enqueueWebhooks(
  env: Senders,
  messages: readonly WebhookMessage[],
  after?: ObjectTimers["after"],
): Promise<Map<string, unknown>> {
  const batches = batchByHost(env, messages);
  const away = new Map<string, unknown>();
  for (let start = 0; start < batches.length; start += MAX_CALLS) {
    const calls = batches.slice(start, start + MAX_CALLS).map(async ({ host, batch }) => {
      try {
        await within(objectNamed(env.WEBHOOKS, host).enqueue(batch), PATIENCE_MS, after);
      } catch (thrown) {
        away.set(host, thrown);
        log.warn("webhook_sender_unreachable", { host, messages: batch.length, reason: reasonOf(thrown) });
      }
    });
    await Promise.all(calls);
  }
  return away;
}

/** The delivery log of a prediction whose webhook is `url`. */
export async function webhookDeliveries(env: Senders, url: string, predictionId: string): Promise<Delivery[]> {
  return callObject(() => objectNamed(env.WEBHOOKS, receiverOf(env, url)).deliveries(predictionId));
}

/** Sends a message of a prediction whose webhook is `url` again. The caller has checked whose prediction it is. */
export async function redeliverWebhook(
  env: Senders,
  url: string,
  predictionId: string,
  webhookId: string,
): Promise<RedeliverAnswer> {
  // Once: a message that is sent again is sent again each time that it is asked for.
  return objectNamed(env.WEBHOOKS, receiverOf(env, url)).redeliver(predictionId, webhookId);
}

/**
 * Forgets what the messages of these predictions, whose webhook is `url`, said. `keep`: those that wait are still sent;
 * `drop`: they end. What remains of each is its line in the delivery log.
 */
export async function forgetWebhooks(
  env: Senders,
  url: string,
  predictionIds: string[],
  waiting: "keep" | "drop",
): Promise<void> {
  await objectNamed(env.WEBHOOKS, receiverOf(env, url)).forget(predictionIds, waiting);
}

/** Messages by host, in batches that a call may carry. Exported for its tests. */
export function batchByHost(
  env: Pick<Env, "ALLOW_LOOPBACK_TARGETS">,
  messages: readonly WebhookMessage[],
): { host: string; batch: WebhookMessage[] }[] {
  const batches: { host: string; batch: WebhookMessage[] }[] = [];
  const last = new Map<string, { batch: WebhookMessage[]; chars: number }>();
  for (const message of messages) {
    const host = receiverOf(env, message.url);
    const open = last.get(host);
    const chars = message.body.length + message.url.length;
    if (open !== undefined && open.batch.length < MAX_MESSAGES && open.chars + chars <= MAX_CHARS) {
      open.batch.push(message);
      open.chars += chars;
    } else {
      const batch = [message];
      batches.push({ host, batch });
      last.set(host, { batch, chars });
    }
  }
  return batches;
}

/** The receiver that a URL names: its sender's name. */
export function receiverOf(env: Pick<Env, "ALLOW_LOOPBACK_TARGETS">, url: string): string {
  const target = checkTarget(url, { allowLoopback: env.ALLOW_LOOPBACK_TARGETS === "1" });
  return target.ok ? target.host : REFUSED;
}
