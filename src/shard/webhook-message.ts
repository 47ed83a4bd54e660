/** The webhook messages of a prediction, as the shard's outbox keeps them until their sender has them. */
import { isTerminal } from "../contract/prediction.ts";
import type { PredictionSnapshot, WebhookEvent } from "../contract/prediction.ts";
import type { Effect } from "./machine.ts";
import type { Progress } from "./progress.ts";
import { isFinished, snapshotOf } from "./row.ts";
import type { Row } from "./row.ts";
import { bytesWithin, endOfLogs, MAX_ROW_BYTES, platformMetrics } from "./sizes.ts";

/** The body is made when it leaves: links in it are signed. */
export type PendingWebhook = {
  webhookId: string;
  url: string;
  event: WebhookEvent;
  snapshot: PredictionSnapshot;
  createdAt: number;
  /** The snapshot is without what is large, which the row of the ended prediction has. */
  isOutline?: true;
};

/** Of the logs, what an interim message carries that would be too large with all of them. */
const SHORT_LOG_CHARS = 32 * 1024;

/** What the ids of a prediction's messages begin with. */
export function webhookIdPrefix(predictionId: string): string {
  return `msg_${predictionId}_`;
}

/** `webhookId` is the same at every try of the same message: receivers de-duplicate by it. */
export function webhookMessage(event: WebhookEvent, snapshot: PredictionSnapshot, now: number): PendingWebhook {
  const { id, webhook, attempt, status } = snapshot;
  const once = event === "completed" || event === "start";
  const suffix = once ? event : isTerminal(status) ? `${event}_end` : `${event}_${attempt}_${now}`;
  return { webhookId: `${webhookIdPrefix(id)}${suffix}`, url: webhook ?? "", event, snapshot, createdAt: now };
}

/**
 * What a receiver is due of the frames that are about to be stored. With the end all is told by `completed`; whoever
 * did not ask for that gets one more message where there is output, or logs, that none has told.
 */
export function eventsDue({ row, frames }: Progress, effects: readonly Effect[]): WebhookEvent[] {
  const { webhook, webhookEvents } = row.fixed;
  const isEnded = isFinished(row.state);
  const ends = effects.some((effect) => effect.type === "webhook" && effect.event === "completed");
  if (webhook === null || (isEnded && (!ends || webhookEvents.includes("completed")))) return [];
  // No frame told the chunks of what a plugin answered.
  const isUntold = row.chunks === 0 || row.attempt === 0;
  const isWhole = isEnded && isUntold && (row.output !== null || row.outputBlob !== null);
  const due: WebhookEvent[] = [];
  if (isWhole || frames.some(({ type }) => type === "output")) due.push("output");
  if (frames.some(({ type }) => type === "log")) due.push("logs");
  return due.filter((event) => webhookEvents.includes(event));
}

/**
 * A message as JSON that fits into its row, whatever the model said: a character of it may take six in JSON. Of an
 * ended prediction it is an outline then, and `wholeMessage` makes it whole again; of one that runs it has the end of
 * the logs, and no more where that is too much.
 */
export function storedMessage(message: PendingWebhook): string {
  const { snapshot } = message;
  const bare = { ...snapshot, input: null, output: null, logs: "", metrics: platformMetrics(snapshot.metrics) };
  const shorter: PendingWebhook[] = isTerminal(snapshot.status)
    ? [{ ...message, snapshot: bare, isOutline: true }]
    : [
        { ...message, snapshot: { ...snapshot, logs: endOfLogs(snapshot.logs, SHORT_LOG_CHARS) } },
        { ...message, snapshot: { ...bare, input: snapshot.input } },
      ];
  let text = JSON.stringify(message);
  for (const next of shorter) {
    if (bytesWithin(text, MAX_ROW_BYTES)) break;
    text = JSON.stringify(next);
  }
  return text;
}

/** A stored message with all that its prediction's row has by now; `row` is null when that is gone. */
export function wholeMessage(message: PendingWebhook, row: Row | null): PendingWebhook {
  if (message.isOutline !== true || row === null) return message;
  const { input, output, logs, metrics } = snapshotOf(row, null);
  return { ...message, snapshot: { ...message.snapshot, input, output, logs, metrics } };
}
