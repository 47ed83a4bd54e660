/**
 * Hands the webhooks of a shard's outbox to their senders, again and again until these have them. One sender that can't be reached holds up
 * no other's: a pass goes through the whole outbox and leaves out the rest of what is for that one, so that its messages keep their order. The body is made when it leaves: links in it are
 * signed, and what the end of a prediction tells of lies in the bucket, or in its row, when it is large.
 */
import { presentPrediction } from "../contract/present.ts";
import { isTerminal } from "../contract/prediction.ts";
import type { PredictionSnapshot } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
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

export function createWebhookOutbox(env: Env, store: Store) {
  /** Until it is looked: an earlier life of the object may have left some behind. */
  let mayHold = true;

  const courier = createCourier(() => {
    mayHold = store.hasWebhooks();
    return mayHold ? ["webhooks"] : [];
  }, sendAll);

  /** One pass. Throws when some must be tried again. */
  async function sendAll(): Promise<void> {
    const away = new Set<string>();
    for (let last: PendingWebhook | null = null; ;) {
      const page = store.webhooks(BATCH_MESSAGES, last);
      if (page.length === 0) break;
      last = await sendSome(page, away);
    }
    if (away.size > 0) throw new Error(`${away.size} webhook senders could not be reached`);
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
    for (const receiver of await enqueueWebhooks(env, messages)) away.add(receiver);
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
    kick: () => courier.kick(),
    /** Whether something is on its way, or should be. */
    isPending: () => mayHold,
  };
}
