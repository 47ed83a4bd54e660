/** The shard's frames, turned into the events of Replicate's stream and of Cog's. */
import type { Json } from "../../contract/prediction.ts";
import type { StreamFrame } from "../../shard/types.ts";
import type { JsonContent } from "../../storage/blobs.ts";
import type { AnyEvent, ServerSentEvent } from "./sse.ts";

/** Fetches what a frame only refers to. */
export type FrameSources = {
  /** The output that is stored as a blob, if it is small enough for memory. */
  blob(key: string): Promise<JsonContent>;
  /** One that isn't: as JSON, or as the text that it is. */
  largeBlob(key: string, as: "json" | "text"): AsyncIterable<string | Uint8Array>;
  /** The finished prediction as JSON, as `GET` shows it: in pieces when it is large. */
  prediction(): Promise<string | AsyncIterable<string | Uint8Array>>;
};

/**
 * Turns one frame into events, at once unless something must be fetched: there are thousands of frames a second. It
 * remembers nothing: a stream can begin at any frame.
 */
export type FrameTranslator = (frame: StreamFrame) => AnyEvent[] | Promise<AnyEvent[]>;

const GONE = {
  detail: "What came behind the last event that you got is no longer kept; all that is kept follows.",
  code: "not_found",
};

/**
 * Replicate's events (https://replicate.com/docs/topics/predictions/streaming): `output` with the chunk as it is,
 * `logs`, `error`, and `done` with `{}` or a reason.
 */
export function createReplicateTranslator(id: string, sources: FrameSources): FrameTranslator {
  const blobEvents = async (key: string, seq: number): Promise<AnyEvent[]> => {
    const { value, isLarge } = await sources.blob(key);
    if (isLarge === true) return [{ event: "output", pieces: sources.largeBlob(key, "text"), id: seq }];
    if (value === null) return [{ event: "error", data: JSON.stringify(GONE), id: seq }];
    return [{ event: "output", data: textOf(value), id: seq }];
  };
  return (frame) => {
    const { seq, data } = frame;
    if (frame.type === "output") return [{ event: "output", data: textOf(data), id: seq }];
    if (frame.type === "blob") return blobEvents(String(data), seq);
    if (frame.type === "log") return [{ event: "logs", data: textOf(data), id: seq }];
    if (frame.type === "gone") return [{ event: "error", data: JSON.stringify(GONE), id: seq }];
    if (frame.type !== "completed") return [];
    const end = fieldsOf(data);
    const events: ServerSentEvent[] = [];
    const status = end["status"];
    const failed = status === "failed" || status === "aborted";
    if (failed) {
      const error = fieldsOf(end["error"] ?? null);
      const detail = error["message"] ?? `The prediction ${id} ended as ${status}.`;
      events.push({ event: "error", data: JSON.stringify({ detail, code: error["code"] ?? null }), id: seq });
    }
    const done = failed ? { reason: "error" } : status === "canceled" ? { reason: "canceled" } : {};
    events.push({ event: "done", data: JSON.stringify(done), id: seq });
    return events;
  };
}

/**
 * Cog's events (https://github.com/replicate/cog/blob/main/docs/http.md): `start`, `output`, `log`, `metric`,
 * `completed`.
 */
export function createCogTranslator(id: string, sources: FrameSources): FrameTranslator {
  const cogBlob = async (key: string, seq: number, index: number | undefined): Promise<AnyEvent[]> => {
    const { value, isLarge } = await sources.blob(key);
    if (isLarge === true) {
      const pieces = between(`{"chunk":`, sources.largeBlob(key, "json"), `,"index":${JSON.stringify(index ?? 0)}}`);
      return [{ event: "output", pieces, id: seq }];
    }
    const [name, data] = value === null ? ["error", GONE] : ["output", { chunk: value, index }];
    return [{ event: name, data: JSON.stringify(data), id: seq }];
  };
  return (frame) => {
    const { seq, data, index } = frame;
    const event = (name: string, value: unknown): ServerSentEvent => ({
      event: name,
      data: JSON.stringify(value),
      id: seq,
    });
    switch (frame.type) {
      case "start":
        return [event("start", { id, status: "processing" })];
      case "output":
        return [event("output", { chunk: data, index })];
      case "blob":
        return cogBlob(String(data), seq, index);
      case "log":
        return [event("log", { source: "stdout", data })];
      case "metric":
        return Object.entries(fieldsOf(data)).map(([name, value]) => event("metric", { name, value, mode: "replace" }));
      case "completed":
        return sources
          .prediction()
          .then((json) => [
            typeof json === "string"
              ? { event: "completed", data: json, id: seq }
              : { event: "completed", pieces: json, id: seq },
          ]);
      default:
        return [event("error", GONE)];
    }
  };
}

async function* between(
  before: string,
  pieces: AsyncIterable<string | Uint8Array>,
  after: string,
): AsyncGenerator<string | Uint8Array> {
  yield before;
  yield* pieces;
  yield after;
}

function textOf(data: Json): string {
  return typeof data === "string" ? data : JSON.stringify(data);
}

function fieldsOf(value: Json): { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
