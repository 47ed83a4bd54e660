/**
 * One reader of a prediction's frames. One piece is on its way to it at a time, and what comes meanwhile leaves together in the next: an idle
 * system tells each frame at once, a busy one several for the price of one.
 */
import type { StreamFrame } from "./types.ts";

/** What may wait for a reader before it is cut, about in bytes; it can come back with the id of its last event. */
const MAX_LAG_CHARS = 1024 * 1024;

/** Where pieces are written and read; a write settles when its piece was read, or the reader has left. */
export type Pipe = { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> };

export type Reader = {
  readonly stream: ReadableStream<Uint8Array>;
  /** Tells frames; none: an empty line. */
  push(frames: readonly StreamFrame[]): void;
  /** Nothing comes any more: the stream ends behind what was pushed. */
  end(): void;
};

/** `onGone` is called once, when the reader is told nothing any more: it left, lags, or has heard the end. */
export function createReader({ readable, writable }: Pipe, onGone: () => void): Reader {
  const encoder = new TextEncoder();
  const writer = writable.getWriter();
  let waiting = "";
  let isWriting = false;
  let isEnded = false;

  function end(): void {
    if (isEnded) return;
    isEnded = true;
    onGone();
    write();
  }

  function write(): void {
    if (isWriting) return;
    if (waiting === "") {
      if (isEnded) writer.close().catch(() => {});
      return;
    }
    const piece = encoder.encode(waiting);
    waiting = "";
    isWriting = true;
    writer.write(piece).then(() => {
      isWriting = false;
      if (waiting !== "" || isEnded) write();
    }, leave);
  }

  /** The reader has left: nothing is written any more. */
  function leave(): void {
    waiting = "";
    end();
  }
  writer.closed.catch(leave);

  return {
    stream: readable,
    push(frames) {
      if (isEnded) return;
      waiting += frames.length === 0 ? "\n" : linesOf(frames);
      write();
      if (waiting.length > MAX_LAG_CHARS || frames.at(-1)?.type === "completed") end();
    },
    end,
  };
}

/** Newline-delimited JSON. */
function linesOf(frames: readonly StreamFrame[]): string {
  let lines = "";
  for (const frame of frames) lines += `${JSON.stringify(frame)}\n`;
  return lines;
}
