/**
 * Hands the webhooks of a shard's outbox to their senders, again and again until these have them. One sender that can't
 * be reached holds up no other's: a pass goes through the whole outbox and leaves out what is for that one, so that its
 * messages keep their order, until it is its time to be tried again. The body is made when it leaves: links in it are
 * signed, and what the end of a prediction tells of lies in the bucket, or in its row, when it is large.
 */
import { presentPrediction } from "../contract/present.ts";
import { isTerminal } from "../contract/prediction.ts";
import type { PredictionSnapshot } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { retryDelayMs } from "../object-calls.ts";
import { withBlobs } from "../storage/blobs.ts";
import { enqueueWebhooks, receiverOf } from "../webhooks/client.ts";
import type { WebhookMessage } from "../webhooks/types.ts";
import { createCourier } from "./courier.ts";
import type { Store } from "./store.ts";
import { wholeMessage } from "./webhook-message.ts";
import type { PendingWebhook } from "./webhook-message.ts";

const BATCH_MESSAGES = 50;
/** Of an input's or an output's blob, what a message carries; and what messages that leave together weigh, about. */
const MAX_BLOB_BYTES = 4 * 1024 * 1024;
/** A call between objects carries 32 MiB. */
const MAX_BODY_CHARS = 3 * MAX_BLOB_BYTES;

type Place = Pick<PendingWebhook, "createdAt" | "webhookId"> | null;

/** A place that is behind nothing of its millisecond, so that what came later within it is not overlooked. */
function before(place: Place): Place {
  return place === null ? null : { createdAt: place.createdAt - 1, webhookId: "\uffff" };
}

export function createWebhookOutbox(env: Env, store: Store) {
  /** Until it is looked: an earlier life of the object may have left some behind. */
  let mayHold = true;
  /** Senders that did not take theirs: how often in a row, and when they are tried again. */
  const resting = new Map<string, { failures: number; until: number }>();

  /** What was looked at last; what is left of it and before is for senders that rest. */
  let seen: Place = null;
  /** Until then all that is left is for senders that rest. */
  let restUntil = 0;

  const courier = createCourier(() => {
    mayHold = store.hasWebhooks();
    return mayHold && Date.now() >= restUntil ? ["webhooks"] : [];
  }, sendAll);

  /** One pass: over what is new, or over everything when a sender has rested. */
  async function sendAll(): Promise<void> {
    const now = Date.now();
    const rests = [...resting].filter(([, { until }]) => until > now);
    const away = new Set(rests.map(([receiver]) => receiver));
    // While none rests all that is there is to be sent, also what is older than what was seen.
    let last = resting.size > 0 && rests.length === resting.size ? before(seen) : null;
    for (
      let page = store.webhooks(BATCH_MESSAGES, last);
      page.length > 0;
      page = store.webhooks(BATCH_MESSAGES, last)
    ) {
      last = await sendSome(page, away);
      seen = last;
    }
    if (away.size > 0) restFor(Math.min(...[...away].map((receiver) => resting.get(receiver)?.until ?? 0)));
  }

  function restFor(until: number): void {
    restUntil = until;
    setTimeout(() => courier.kick(), Math.max(0, until - Date.now()) + 1);
  }

  /** Sends the first of `page`, as many as may leave together; answers the last one. */
  async function sendSome(page: readonly PendingWebhook[], away: Set<string>): Promise<PendingWebhook | null> {
    const sent: { pending: PendingWebhook; receiver: string }[] = [];
    const messages: WebhookMessage[] = [];
    let last: PendingWebhook | null = null;
    let chars = 0;
    for (const pending of page) {
      if (chars > MAX_BLOB_BYTES) break;
      last = pending;
      const receiver = receiverOf(env, pending.url);
      if (away.has(receiver)) continue;
      const { webhookId, url, event, createdAt } = pending;
      const { id: predictionId, accountId } = pending.snapshot;
      const { snapshot } = wholeMessage(pending, pending.isOutline === true ? store.get(predictionId) : null);
      const body = isTerminal(snapshot.status) ? await wholeBody(snapshot) : await bodyOf(snapshot);
      messages.push({ webhookId, url, event, createdAt, predictionId, accountId, body });
      sent.push({ pending, receiver });
      chars += body.length;
    }
    const failed = await enqueueWebhooks(env, messages);
    for (const { receiver } of sent) if (!failed.has(receiver)) resting.delete(receiver);
    for (const [receiver, error] of failed) {
      const failures = (resting.get(receiver)?.failures ?? 0) + 1;
      resting.set(receiver, { failures, until: Date.now() + retryDelayMs(failures, error) });
      away.add(receiver);
    }
    store.removeWebhooks(sent.filter(({ receiver }) => !away.has(receiver)).map(({ pending }) => pending));
    return last;
  }

  async function bodyOf(snapshot: PredictionSnapshot): Promise<string> {
    return JSON.stringify(await presentPrediction(snapshot, env.EDGEPLANE_SECRET));
  }

  /** With input and output in place of their blobs, as far as a message can carry them. */
  async function wholeBody(snapshot: PredictionSnapshot): Promise<string> {
    const body = await bodyOf(await withBlobs(env.BLOBS, snapshot, MAX_BLOB_BYTES));
    return body.length <= MAX_BODY_CHARS ? body : bodyOf({ ...snapshot, output: null });
  }

  return {
    /** `hasNew`: some were added since the last time. */
    kick(hasNew: boolean): void {
      if (hasNew) restUntil = 0;
      courier.kick();
    },
    /** Whether something is on its way, or should be. */
    isPending: () => mayHold,
  };
}
