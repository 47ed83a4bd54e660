/**
 * How large what a model says may be. It must fit into its row (SQLite in an object takes 2 MB of UTF-8), whatever
 * comes: a prediction that could not be stored could not end either.
 */
import { MAX_CHUNK_BYTES, MAX_LOG_CHARS } from "../contract/event.ts";
import type { Json, PredictionError, PredictionSnapshot } from "../contract/prediction.ts";
import type { Row } from "./row.ts";
import type { ScreenedEvent } from "./types.ts";

/**
 * Of the chunks that stand for the output of a run that goes on or did not succeed: the first ones. The stream has all.
 */
export const MAX_SHOWN_CHARS = 256 * 1024;
/** Of JSON in one column: a row has 2 MB at most, with its key and its other columns. */
export const MAX_ROW_BYTES = 1_900_000;
export const MAX_LISTED_OUTPUT_CHARS = 64 * 1024;
const MAX_LISTED_METRICS_CHARS = 16 * 1024;
const MAX_MESSAGE_CHARS = 16 * 1024;
const MAX_METRICS = 100;
const MAX_METRIC_CHARS = 4096;
/** What the platform measures itself. */
const OWN_METRICS = ["predict_time", "total_time"];

const utf8 = new TextEncoder();

const tooLarge: PredictionError = {
  code: "model_error",
  message: `A chunk of the output, or all of it, takes more than ${MAX_CHUNK_BYTES / 1e6} MB as JSON. Give what is large as a file: return or yield a \`Path\`.`,
};

export function charsOf(value: Json): number {
  return typeof value === "string" ? value.length : JSON.stringify(value).length;
}

/** A prediction as a list has it, of which a page has a hundred: without logs, and without what is large. */
export function listed(one: PredictionSnapshot): PredictionSnapshot {
  const output = charsOf(one.output) > MAX_LISTED_OUTPUT_CHARS ? null : one.output;
  const isWordy = JSON.stringify(one.metrics).length > MAX_LISTED_METRICS_CHARS;
  return { ...one, logs: "", output, metrics: isWordy ? platformMetrics(one.metrics) : one.metrics };
}

/** Whether an output, or a chunk of one, fits into a row. */
function isStorable(output: Json): boolean {
  // A character of text is 6 bytes of JSON at most.
  if (typeof output === "string" && output.length * 6 <= MAX_CHUNK_BYTES) return true;
  return bytesWithin(JSON.stringify(output), MAX_CHUNK_BYTES);
}

/** Whether `text` has at most `maxBytes` in UTF-8, where a character has 3 at most. */
export function bytesWithin(text: string, maxBytes: number): boolean {
  if (text.length > maxBytes) return false;
  return text.length * 3 <= maxBytes || utf8.encode(text).byteLength <= maxBytes;
}

/** The end of a text; a pair of surrogates that the cut goes through is left out. */
export function endOfLogs(text: string, maxChars = MAX_LOG_CHARS): string {
  if (text.length <= maxChars) return text;
  const isWithinPair = (text.charCodeAt(text.length - maxChars) & 0xfc00) === 0xdc00;
  return text.slice(-(isWithinPair ? maxChars - 1 : maxChars));
}

/**
 * An event as a shard can take it: of logs the end, of a message the beginning; an output that is too large is a
 * failure.
 */
export function fitting(event: ScreenedEvent): ScreenedEvent {
  const { id, token, seq } = event;
  const usage = event.type === "succeeded" ? event.usage : undefined;
  if (event.type === "log") return { ...event, text: endOfLogs(event.text) };
  if (event.type === "failed") {
    const { code, message } = event.error;
    return { ...event, error: { code, message: message.slice(0, MAX_MESSAGE_CHARS).toWellFormed() } };
  }
  const output = event.type === "output" ? event.chunk : event.type === "succeeded" ? (event.output ?? null) : null;
  return isStorable(output) ? event : { id, token, seq, type: "failed", kind: "model", error: tooLarge, usage };
}

/** Takes metrics over that are short, unless there are many already; answers those that it took. */
export function addMetrics(row: Row, metrics: Record<string, Json>): Record<string, Json> {
  const taken: Record<string, Json> = {};
  for (const [name, value] of Object.entries(metrics)) {
    const isRoom = Object.hasOwn(row.metrics, name) || Object.keys(row.metrics).length < MAX_METRICS;
    if (!isRoom || JSON.stringify([name, value]).length > MAX_METRIC_CHARS) continue;
    row.metrics[name] = value;
    taken[name] = value;
  }
  return taken;
}

/** An ended row that is too large all the same: it keeps its end, and of what its model said nothing. */
export function dropWords(row: Row): void {
  if (row.state === "succeeded" && row.output !== null) {
    row.state = "failed";
    row.error = tooLarge;
  }
  row.output = null;
  row.logs = "[edgeplane] Output, logs and metrics were together too large to be kept.\n";
  row.metrics = platformMetrics(row.metrics);
}

/** What the platform measured, without what the model recorded. */
export function platformMetrics(metrics: Record<string, Json>): Record<string, Json> {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => OWN_METRICS.includes(name)));
}
