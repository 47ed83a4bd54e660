/**
 * Fetches one chunk, and verifies it while it is written. A transfer that breaks off goes on where it was (`Range`),
 * also one of a process that was ended; one whose bytes are wrong, too few or too many is fetched again from its start.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createBackoff } from "../scheduling/backoff.ts";
import { FetchProblem, SourceAway } from "./problems.ts";

/** A transfer that brings nothing for so long is over. */
const STALL_MS = 30_000;
/** How often in a row a transfer may bring nothing, and how often a whole chunk may be wrong. */
const MAX_IDLE_TRIES = 6;
const MAX_WRONG = 3;
/** What is written in one go. */
const WRITE_BYTES = 1024 * 1024;

export type ChunkRequest = {
  sha256: string;
  bytes: number;
  /**
   * Begins a transfer at `offset`; the answer says where it truly begins. Throws `SourceAway` for what may heal, and
   * `FetchProblem` for what is not there.
   */
  open(offset: number): Promise<{ body: Readable; offset: number }>;
  /** Writes behind each other what comes, `at` bytes behind the chunk's start. */
  write(parts: readonly Buffer[], at: number): Promise<void>;
  /** What is written already, and was said to `onBytes`. */
  begun?: Transfer;
  /** Bytes that came; less than 0 where they come again. */
  onBytes(bytes: number): void;
  signal: AbortSignal;
  /** Waits before tries; tests wait less. */
  pause?: { firstMs: number; capMs: number };
};

/** Throws `FetchProblem`, `SourceAway`, or the error of a write. */
export async function fetchChunk(request: ChunkRequest): Promise<void> {
  const backoff = createBackoff(request.pause ?? { firstMs: 200, capMs: 5000 });
  let transfer = request.begun ?? begin();
  let wrong = 0;
  for (;;) {
    const before = transfer.at;
    try {
      if (transfer.at < request.bytes) await receive(request, transfer);
      if (transfer.at === request.bytes) {
        const sum = transfer.hash.digest("hex");
        if (sum === request.sha256) return;
        throw new Wrong(`has the SHA-256 ${sum}`);
      }
      // It ended early: the rest is asked for.
    } catch (error) {
      request.signal.throwIfAborted();
      if (error instanceof Wrong || error instanceof FetchProblem) {
        wrong += 1;
        if (wrong >= MAX_WRONG)
          throw new FetchProblem(`the chunk ${request.sha256} of ${request.bytes} bytes ${error.message}`, {
            cause: error,
            chunk: request.sha256,
          });
        request.onBytes(-transfer.at);
        transfer = begin();
      } else if (!(error instanceof SourceAway)) throw error;
      else if (backoff.failures >= MAX_IDLE_TRIES) throw error;
    }
    if (transfer.at > before) backoff.reset();
    if (backoff.failures >= MAX_IDLE_TRIES)
      throw new SourceAway(`the chunk ${request.sha256} breaks off at ${transfer.at} of ${request.bytes} bytes`);
    await sleep(backoff.nextMs(), undefined, { signal: request.signal });
  }
}

/** The first bytes of a chunk, and their hash. */
export type Transfer = { at: number; hash: Hash };

const begin = (): Transfer => ({ at: 0, hash: createHash("sha256") });

/** What came is not what was asked for. */
class Wrong extends Error {}

/** Moves `transfer` on by what comes. A body that breaks off is no error: what came of it counts. */
async function receive(request: ChunkRequest, transfer: Transfer): Promise<void> {
  const { body, offset } = await request.open(transfer.at);
  if (offset !== transfer.at) {
    // From its start, although the rest was asked for.
    request.onBytes(-transfer.at);
    Object.assign(transfer, begin());
  }
  const stall = setTimeout(() => body.destroy(new SourceAway("nothing came")), STALL_MS);
  const stop = (): void => void body.destroy();
  request.signal.addEventListener("abort", stop);
  let [parts, gathered, writing]: [Buffer[], number, Promise<void>] = [[], 0, Promise.resolve()];
  const flush = async (): Promise<void> => {
    await writing;
    const at = transfer.at - gathered;
    writing = gathered === 0 ? Promise.resolve() : request.write(parts, at);
    // It is awaited later.
    writing.catch(() => {});
    [parts, gathered] = [[], 0];
  };
  try {
    for await (const part of chunksOf(body)) {
      stall.refresh();
      if (transfer.at + part.length > request.bytes) throw new Wrong("is longer than that");
      transfer.hash.update(part);
      transfer.at += part.length;
      request.onBytes(part.length);
      parts.push(part);
      gathered += part.length;
      if (gathered >= WRITE_BYTES) await flush();
    }
  } finally {
    clearTimeout(stall);
    request.signal.removeEventListener("abort", stop);
    body.destroy();
    await flush();
    await writing;
  }
}

/** What a body brings; its end, however it comes about. */
async function* chunksOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    for await (const part of body) if (Buffer.isBuffer(part)) yield part;
  } catch {
    // The connection broke: the caller asks for the rest.
  }
}
