/**
 * One reader of a prediction's frames. One piece is on its way to it at a time, and what comes meanwhile leaves
 * together in the next: an idle system tells each frame at once, a busy one several for the price of one.
 */
import type { LagBudget, Lagging } from "./lag-budget.ts";
import type { StreamFrame } from "./types.ts";

/** What may wait for a reader before it is cut, about in bytes; it can come back with the id of its last event. */
const MAX_READER_LAG_CHARS = 1024 * 1024;
/**
 * What leaves together: a reader that sleeps holds so much of the Worker's memory, too. A frame that is larger leaves
 * alone.
 */
const PIECE_CHARS = 64 * 1024;
/** A reader that has not taken its piece, or the end, for so many probes in a row is given up: it sleeps. */
const MAX_UNREAD_PROBES = 8;

/** Where pieces are written and read; a write settles when its piece was read, or the reader has left. */
export type Pipe = { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> };

export type Reader = {
  readonly stream: ReadableStream<Uint8Array>;
  /** Tells frames; none: an empty line. */
  push(frames: readonly StreamFrame[]): void;
  /**
   * Writes an empty line, which fails where the reader has left. What is on its way to one that sleeps would stay in
   * memory, and the stream count as open, for as long as it sleeps: it is cut off, and comes back when it wakes.
   */
  probe(): void;
  /** Nothing comes any more: the stream ends behind what was pushed. */
  end(): void;
};

export type ReaderOptions = {
  /** Whose it is, and what waits for all of its account's. */
  accountId: string;
  budget: LagBudget;
  /** Called once, when the reader is told nothing any more: it left, lags, or has heard the end. */
  onGone: () => void;
  /** Called once, when nothing is on its way to it any more. */
  onClosed: () => void;
};

export function createReader(
  { readable, writable }: Pipe,
  { accountId, budget, onGone, onClosed }: ReaderOptions,
): Reader {
  const encoder = new TextEncoder();
  const writer = writable.getWriter();
  let pieces: string[] = [];
  let waitingChars = 0;
  let writingChars = 0;
  let isEnded = false;
  let isClosing = false;
  let isClosed = false;
  /** Probes since it last took something. */
  let unreadProbes = 0;

  function end(): void {
    if (isEnded) return;
    isEnded = true;
    onGone();
    write();
  }

  function write(): void {
    if (writingChars > 0) return;
    const piece = pieces.shift();
    if (piece === undefined) {
      if (isEnded && !isClosing) writer.close().catch(() => {});
      isClosing ||= isEnded;
      return;
    }
    waitingChars -= piece.length;
    writingChars = piece.length;
    writer.write(encoder.encode(piece)).then(written, leave);
  }

  function written(): void {
    budget.change(accountId, -writingChars);
    writingChars = 0;
    unreadProbes = 0;
    if (pieces.length > 0 || isEnded) write();
  }

  /** Takes back what was not begun: whoever comes back is told it then. */
  function drop(): void {
    budget.change(accountId, -waitingChars);
    pieces = [];
    waitingChars = 0;
  }

  /** The reader has left: nothing is written any more. */
  function leave(): void {
    drop();
    budget.change(accountId, -writingChars);
    writingChars = 0;
    end();
  }
  const lagging: Lagging = {
    waitingChars: () => waitingChars,
    cut() {
      drop();
      end();
    },
  };
  function closed(): void {
    if (isClosed) return;
    isClosed = true;
    budget.leave(accountId, lagging);
    onClosed();
  }
  budget.enter(accountId, lagging);
  writer.closed.catch(leave).finally(closed);

  /** Breaks the stream off, with what is on its way. */
  function giveUp(): void {
    writer.abort(new Error("nobody reads this stream")).catch(() => {});
    leave();
    closed();
  }

  function add(line: string): void {
    const last = pieces.at(-1);
    if (last !== undefined && last.length + line.length <= PIECE_CHARS) pieces[pieces.length - 1] = last + line;
    else pieces.push(line);
    waitingChars += line.length;
    budget.change(accountId, line.length);
  }

  function push(frames: readonly StreamFrame[]): void {
    if (isEnded) return;
    if (frames.length === 0) add("\n");
    // Newline-delimited JSON.
    for (const frame of frames) add(`${JSON.stringify(frame)}\n`);
    write();
    const hasRoom = budget.makeRoom(accountId);
    if (!hasRoom || waitingChars > MAX_READER_LAG_CHARS || frames.at(-1)?.type === "completed") end();
  }

  return {
    stream: readable,
    push,
    probe() {
      if (writingChars > 0 || isClosing) unreadProbes += 1;
      if (unreadProbes >= MAX_UNREAD_PROBES) giveUp();
      else push([]);
    },
    end,
  };
}
