/**
 * A prediction's events as a response. The Worker reads the shard's frames and writes events; when the shard is reset,
 * or cut this reader because its client was slow, it attaches again behind the last frame that it wrote.
 */
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { StreamFrame } from "../../shard/types.ts";
import { readJsonUpTo, streamJson } from "../../storage/blobs.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { AppContext, ShardPort } from "../app.ts";
import { createCogTranslator, createReplicateTranslator } from "./frames.ts";
import type { FrameSources, FrameTranslator } from "./frames.ts";
import { textOfJson } from "./json-text.ts";
import { readLines } from "./ndjson.ts";
import { formatEvent, formatLargeEvent, KEEP_ALIVE } from "./sse.ts";
import { jsonOf, showWhole, WHOLE_BYTES } from "./view.ts";

const KEEP_ALIVE_MS = 15_000;
/** Keep-alives in a row that a client takes nothing for, before it is cut off; it can come back with its last id. */
const MAX_UNREAD_BEATS = 8;
/** Pieces are written in parts of this size, so that the pump sees a slow client take some. */
const WRITE_BYTES = 64 * 1024;
/** How often in a row it attaches again without having got anything new, and its pauses then. */
const MAX_BARREN_ATTACHES = 10;
const ATTACH_PAUSE_MS = 200;

const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

/**
 * Answers a prediction's events in the form of `dialect`, from behind the one of `afterSeq` (-1: all). Throws
 * `not_found`. `bySignedLink`: the caller showed a link instead of a key.
 */
export async function openEventStream(
  c: AppContext,
  shard: ShardPort,
  id: string,
  dialect: "replicate" | "cog",
  afterSeq: number,
  bySignedLink = false,
): Promise<Response> {
  const accountId = bySignedLink ? null : c.get("principal").accountId;
  const attach = (after: number) => shard.openStream(c.env, id, accountId, after);
  // Who only asks for the headers has seen no output: it may still change.
  const isHead = c.req.method === "HEAD";
  const first = isHead ? null : await attach(afterSeq);
  if (first === null) {
    if (isHead && (await shard.hasPrediction(c.env, id, accountId))) return new Response(null, { headers });
    throw new EdgeplaneError("not_found", "There is no such prediction.");
  }
  const sources: FrameSources = {
    blob: (key) => readJsonUpTo(c.env.BLOBS, key, WHOLE_BYTES),
    largeBlob: (key, as) => (as === "text" ? textOfJson(streamJson(c.env.BLOBS, key)) : streamJson(c.env.BLOBS, key)),
    prediction: async () => {
      const prediction = accountId === null ? null : await shard.getPrediction(c.env, id, accountId, 0);
      if (prediction === null) return "null";
      const whole = await showWhole(c.env, prediction);
      return Object.keys(whole.large).length === 0 ? JSON.stringify(whole.view) : jsonOf(c.env, whole);
    },
  };
  const translate = dialect === "cog" ? createCogTranslator(id, sources) : createReplicateTranslator(id, sources);
  // The platform's own pipe: what is written goes on to the client without running any script.
  const { readable, writable } = new IdentityTransformStream();
  const { signal } = c.req.raw;
  const writer = writable.getWriter();
  const sent = pump({ first, attach, translate, afterSeq, writer, signal }).catch((thrown: unknown) => {
    log.warn("stream_ended_early", { requestId: c.get("requestId"), predictionId: id, reason: reasonOf(thrown) });
  });
  c.executionCtx.waitUntil(sent);
  return new Response(readable, { headers });
}

type Pump = {
  first: ReadableStream<Uint8Array>;
  attach(afterSeq: number): Promise<ReadableStream<Uint8Array> | null>;
  translate: FrameTranslator;
  afterSeq: number;
  writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Tells that the client has left. */
  signal: AbortSignal;
};

async function pump({ first, attach, translate, afterSeq, writer, signal }: Pump): Promise<void> {
  const encoder = new TextEncoder();
  let isLeft = false;
  const left = new Promise<void>((resolve) => {
    const leave = () => {
      isLeft = true;
      resolve();
    };
    signal.addEventListener("abort", leave);
    writer.closed.catch(leave);
  });
  let isWithinEvent = false;
  let unreadBeats = 0;
  const write = async (piece: string | Uint8Array): Promise<void> => {
    const bytes = typeof piece === "string" ? encoder.encode(piece) : piece;
    for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
      await writer.write(bytes.subarray(at, at + WRITE_BYTES));
      unreadBeats = 0;
    }
  };
  const keepAlive = setInterval(() => {
    unreadBeats += 1;
    if (unreadBeats > MAX_UNREAD_BEATS) writer.abort(new Error("nobody reads this stream")).catch(() => {});
    else if (!isWithinEvent) write(KEEP_ALIVE).catch(() => clearInterval(keepAlive));
  }, KEEP_ALIVE_MS);
  let open = async (): Promise<ReadableStream<Uint8Array> | null> => first;
  let lastSeq = afterSeq;
  let barren = 0;
  let isWhole = false;
  try {
    while (barren <= MAX_BARREN_ATTACHES) {
      barren += 1;
      try {
        const source = await open();
        if (source === null) return;
        for await (const lines of readLines(source, left)) {
          const piece = await pieceOf(lines, lastSeq, translate);
          for (const part of piece.parts) {
            isWithinEvent = true;
            if (typeof part === "string") await write(part);
            else for await (const some of part) await write(some);
            isWithinEvent = false;
          }
          if (piece.isNew) barren = 0;
          lastSeq = piece.lastSeq;
          isWhole = piece.isEnd;
          if (isWhole) return;
        }
      } catch (thrown) {
        // Nothing can follow what was told in part: the client drops it, and comes back behind the event before.
        if (isWithinEvent && isLeft) return;
        if (isWithinEvent) throw thrown;
        if (!isLeft) log.warn("stream_attaching_again", { reason: reasonOf(thrown) });
      }
      if (isLeft) return;
      if (barren > 0) await new Promise((resolve) => setTimeout(resolve, barren * ATTACH_PAUSE_MS));
      open = () => attach(lastSeq);
    }
    throw new Error(`nothing new came ${barren} times`);
  } finally {
    clearInterval(keepAlive);
    // Replicate's clients take an end that is not broken off for the last event.
    await (isWhole ? writer.close() : writer.abort(new Error("the stream ended early"))).catch(() => {});
  }
}

/**
 * What is written together: texts, and events that are too large for one; `isNew`: it had frames that were not seen
 * before.
 */
type Piece = {
  parts: (string | AsyncIterable<string | Uint8Array>)[];
  lastSeq: number;
  isNew: boolean;
  isEnd: boolean;
};

/**
 * The events of frames that came together, behind `afterSeq`. Throws when one of them can't be told now: none of them
 * has been told then, and all of them come again behind the same place.
 */
async function pieceOf(lines: readonly string[], afterSeq: number, translate: FrameTranslator): Promise<Piece> {
  const piece: Piece = { parts: [], lastSeq: afterSeq, isNew: false, isEnd: false };
  let text = "";
  for (const line of lines) {
    // Frames come from our own shard, and there are thousands a second.
    const frame = JSON.parse(line) as StreamFrame;
    // After a restart the pool sends again what was shown and not stored; and what was shown and lost for good leaves
    // an end with an earlier number.
    const isSeen = frame.seq <= piece.lastSeq && frame.type !== "completed" && frame.type !== "gone";
    if (isSeen) continue;
    piece.isNew = true;
    piece.lastSeq = frame.type === "gone" ? 0 : Math.max(piece.lastSeq, frame.seq);
    frame.seq = piece.lastSeq;
    const events = translate(frame);
    for (const event of Array.isArray(events) ? events : await events) {
      if ("data" in event) text += formatEvent(event);
      else {
        piece.parts.push(text, formatLargeEvent(event));
        text = "";
      }
    }
    piece.isEnd ||= frame.type === "completed";
  }
  if (text !== "") piece.parts.push(text);
  return piece;
}

/** The seq that `Last-Event-ID` names; -1 when it is absent. Throws `invalid_request` when it is none of ours. */
export function lastEventId(header: string | undefined): number {
  if (header === undefined || header === "") return -1;
  if (/^\d{1,15}$/.test(header)) return Number(header);
  throw new EdgeplaneError("invalid_request", "`Last-Event-ID` is not the id of one of this stream's events.");
}

/** The header, as the seq behind which the stream goes on. */
export const LastEventIdSchema = z
  .string()
  .optional()
  .transform(lastEventId)
  .meta({
    description: "The id of the last event that was read: the stream goes on behind it.",
    override: { pattern: "^\\d{0,15}$" },
  });
