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
import { createObjectTimers } from "../object-timers.ts";
import { withBlobs } from "../storage/blobs.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { enqueueWebhooks, receiverOf } from "../webhooks/client.ts";
import type { WebhookMessage } from "../webhooks/types.ts";
import { createCourier } from "./courier.ts";
import type { Store } from "./store.ts";
import { wholeMessage } from "./webhook-message.ts";
import type { PendingWebhook } from "./webhook-message.ts";
import { within } from "./within.ts";

const BATCH_MESSAGES = 50;
/** Of an input's or an output's blob, what a message carries; and what messages that leave together weigh, about. */
const MAX_BLOB_BYTES = 4 * 1024 * 1024;
/** A call between objects carries 32 MiB. */
const MAX_BODY_CHARS = 3 * MAX_BLOB_BYTES;
/** A prediction's blobs are given up after `READ_MS`; others' messages wait for blobs `READ_WAIT_MS` a pass in all. */
const READ_MS = 10_000;
const READ_WAIT_MS = 2000;
/** Predictions whose blobs are read behind a pass: what they say is in memory until they are told of. */
const MAX_READ_BEHIND = 2;
/** A message whose blobs could not be read for so long leaves without them. */
const UNREAD_MS = 3_600_000;
/** Senders that are told at a time, and how long others' messages wait for them. */
const MAX_TOLD = 4;
const WAIT_MS = 1000;
/** Where more are late, their calls are waited for: what they carry is in memory. */
const MAX_LATE = 8;

type Sent = { pending: PendingWebhook; receiver: string; message: WebhookMessage };
type Place = Pick<PendingWebhook, "createdAt" | "webhookId"> | null;

/** Webhooks of one prediction and one millisecond are a group; groups stand in the order of `page`. */
function groupsOf(page: readonly PendingWebhook[]): PendingWebhook[][] {
  return [...Map.groupBy(page, ({ createdAt, snapshot }) => `${createdAt} ${snapshot.id}`).values()];
}

/** The way that a prediction goes: a receiver that knows of the end is told nothing that was before it. */
function rankOf({ event }: PendingWebhook): number {
  return event === "start" ? 0 : event === "completed" ? 2 : 1;
}

/** A place that is behind nothing of its millisecond, so that what came later within it is not overlooked. */
function before(place: Place): Place {
  return place === null ? null : { createdAt: place.createdAt - 1, webhookId: "\uffff" };
}

export function createWebhookOutbox(env: Env, store: Store) {
  /** Until it is looked: an earlier life of the object may have left some behind. */
  let mayHold = true;
  /**
   * Senders that did not take theirs, and predictions whose blobs could not be read: how often in a row, and when they
   * are tried again.
   */
  const resting = new Map<string, { failures: number; until: number }>();
  /**
   * Senders that have not answered in time, and predictions whose blobs have not: nothing more leaves for them until
   * they have, or are given up.
   */
  const late = new Set<string>();
  /** Of predictions that were late: what was read, or why it was not; null: it is being read. */
  const readBehind = new Map<string, PredictionSnapshot | Error | null>();
  /** One that was late has answered: what came for it meanwhile was passed over. */
  let hasPassedOver = false;
  /** What was looked at last; what is left of it and before is for senders that rest. */
  let seen: Place = null;
  /** Until then all that is left is for senders that rest. */
  let restUntil = 0;
  let readLeftMs = READ_WAIT_MS;
  const timers = createObjectTimers();

  const courier = createCourier(() => {
    mayHold = store.hasWebhooks();
    return mayHold && Date.now() >= restUntil ? ["webhooks"] : [];
  }, sendAll);

  /** One pass: over what is new, or over everything when a sender has rested. */
  async function sendAll(): Promise<void> {
    const now = Date.now();
    readLeftMs = READ_WAIT_MS;
    // No message waits for these any more.
    for (const [name, { until }] of resting) if (until < now - UNREAD_MS) resting.delete(name);
    const rests = [...resting].filter(([, { until }]) => until > now);
    const away = new Set([...late, ...rests.map(([receiver]) => receiver)]);
    // While none rests all that is there is to be sent, also what is older than what was seen.
    const isNewAlone = away.size > 0 && rests.length === resting.size && !hasPassedOver;
    hasPassedOver = false;
    const read = [...readBehind].filter(([, result]) => result !== null);
    let last = isNewAlone ? before(seen) : null;
    for (
      let page = store.webhooks(BATCH_MESSAGES, last);
      page.length > 0;
      page = store.webhooks(BATCH_MESSAGES, last)
    ) {
      last = await sendSome(page, away);
      seen = last;
    }
    // It was told, or rests, or its message is gone.
    for (const [id] of read) readBehind.delete(id);
    if (away.size > 0 && !hasPassedOver) restFor(Math.min(...[...away].map(againAt)));
  }

  function againAt(name: string): number {
    return late.has(name) ? Date.now() + WAIT_MS : (resting.get(name)?.until ?? 0);
  }

  function rest(name: string, error: unknown, away: Set<string>): void {
    const failures = (resting.get(name)?.failures ?? 0) + 1;
    resting.set(name, { failures, until: Date.now() + retryDelayMs(failures, error) });
    away.add(name);
  }

  function restFor(until: number): void {
    restUntil = until;
    setTimeout(() => courier.kick(), Math.max(0, until - Date.now()) + 1);
  }

  /**
   * Sends the first of `page`, as many as may leave together; answers the last one. No group is parted: of one that the
   * page may have cut nothing leaves yet.
   */
  async function sendSome(page: readonly PendingWebhook[], away: Set<string>): Promise<PendingWebhook | null> {
    const sent: Sent[] = [];
    let last: PendingWebhook | null = null;
    let chars = 0;
    const groups = groupsOf(page);
    if (page.length === BATCH_MESSAGES && groups.length > 1) groups.pop();
    for (const group of groups) {
      if (chars > MAX_BLOB_BYTES) break;
      last = group.at(-1) ?? last;
      for (const pending of group.toSorted((a, b) => rankOf(a) - rankOf(b))) {
        const receiver = receiverOf(env, pending.url);
        const { webhookId, url, event, createdAt } = pending;
        const { id: predictionId, accountId } = pending.snapshot;
        if (away.has(receiver) || away.has(predictionId)) continue;
        const { snapshot } = wholeMessage(pending, pending.isOutline === true ? store.get(predictionId) : null);
        const body = isTerminal(snapshot.status) ? await wholeBody(snapshot, createdAt) : await bodyOf(snapshot);
        if (body instanceof Error) rest(predictionId, body, away);
        else if (body === null) away.add(predictionId);
        if (typeof body !== "string") continue;
        const message = { webhookId, url, event, createdAt, predictionId, accountId, body };
        sent.push({ pending, receiver, message });
        chars += body.length;
      }
    }
    for (const { pending } of sent) resting.delete(pending.snapshot.id);
    const open = [...Map.groupBy(sent, ({ receiver }) => receiver)];
    while (open.length > 0) await tell(open.splice(0, Math.max(1, MAX_TOLD - late.size)), away);
    return last;
  }

  /** Tells these senders; who does not answer in time is waited for apart, and gets nothing more until then. */
  async function tell(senders: readonly [string, Sent[]][], away: Set<string>): Promise<void> {
    const waitsFor = new Set(senders.map(([receiver]) => receiver));
    const calls = senders.map(async ([receiver, sent]) => {
      const error = await handOn(receiver, sent);
      waitsFor.delete(receiver);
      if (error === undefined) resting.delete(receiver);
      else rest(receiver, error, away);
      if (late.delete(receiver)) goOn();
    });
    const all = Promise.all(calls);
    await (late.size < MAX_LATE ? within(all, WAIT_MS, timers.after).catch(() => {}) : all);
    for (const receiver of waitsFor) {
      late.add(receiver);
      away.add(receiver);
    }
  }

  /** One that was late has answered. */
  function goOn(): void {
    hasPassedOver = true;
    restUntil = 0;
    courier.kick();
  }

  /** Why the sender did not take all of its messages; those that it took are done. */
  async function handOn(receiver: string, sent: readonly Sent[]): Promise<unknown> {
    try {
      const messages = sent.map(({ message }) => message);
      const failed = await enqueueWebhooks(env, messages, timers.after);
      if (failed.has(receiver)) return failed.get(receiver);
      store.removeWebhooks(sent.map(({ pending }) => pending));
    } catch (error) {
      return error;
    }
    return undefined;
  }

  async function bodyOf(snapshot: PredictionSnapshot): Promise<string> {
    return JSON.stringify(await presentPrediction(snapshot, env.EDGEPLANE_SECRET));
  }

  /** With input and output in place of their blobs, as far as a message can carry them; an error, or null: not now. */
  async function wholeBody(snapshot: PredictionSnapshot, createdAt: number): Promise<string | Error | null> {
    const whole = await withTheirBlobs(snapshot);
    if (whole === null) return null;
    if (whole instanceof Error) return Date.now() - createdAt < UNREAD_MS ? whole : bodyOf(snapshot);
    const body = await bodyOf(whole);
    return body.length <= MAX_BODY_CHARS ? body : bodyOf({ ...snapshot, output: null });
  }

  /** Null: it takes longer than others' messages wait for it. */
  async function withTheirBlobs(snapshot: PredictionSnapshot): Promise<PredictionSnapshot | Error | null> {
    const { id, inputBlob, outputBlob } = snapshot;
    if (inputBlob === null && outputBlob === null) return snapshot;
    const known = readBehind.get(id);
    if (known !== undefined) return known;
    if (readLeftMs <= 0 || readBehind.size >= MAX_READ_BEHIND) return new Error("what came before took too long");
    const beganAt = Date.now();
    const reading = read(snapshot);
    const inTime = await within(reading, Math.min(WAIT_MS, readLeftMs), timers.after).catch(() => null);
    readLeftMs -= Date.now() - beganAt;
    if (inTime !== null) return inTime;
    readBehind.set(id, null);
    late.add(id);
    void reading.then((result) => {
      readBehind.set(id, result);
      late.delete(id);
      goOn();
    });
    return null;
  }

  async function read(snapshot: PredictionSnapshot): Promise<PredictionSnapshot | Error> {
    try {
      return await within(withBlobs(env.BLOBS, snapshot, MAX_BLOB_BYTES), READ_MS, timers.after);
    } catch (error) {
      if (!resting.has(snapshot.id))
        log.warn("webhook_blobs_not_read", { predictionId: snapshot.id, reason: reasonOf(error) });
      return error instanceof Error ? error : new Error(String(error));
    }
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
