/** Chunks of pushed files as they come in requests: streamed into the store one by one, or many small ones at once. */
import { CHUNK_BYTES } from "../../contract/bundle.ts";
import { decodeFrames, MAX_FRAMES, MAX_FRAMES_BYTES } from "../../contract/chunk-frames.ts";
import type { ChunkFrame } from "../../contract/chunk-frames.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { dropReserved, noteStored, reserveChunks } from "../../registry/chunks.ts";
import type { SizedChunk } from "../../registry/chunks.ts";
import { putChunk } from "../../storage/chunks.ts";
import { piecesOf } from "../../storage/transfer.ts";
import type { AppContext } from "../app.ts";
import { openHold } from "../body-budget.ts";
import { requiredBytes } from "../request-size.ts";

/** Puts of one request that run at a time: the platform opens six connections. */
const PUTS_AT_ONCE = 6;
const NAMED_MISMATCHES = 10;

/**
 * Hands the body to the store, which checks it: no byte of it passes through here. What is there already is read and
 * dropped.
 */
export async function receiveChunk(c: AppContext, owner: string, sha256: string): Promise<void> {
  const body: ReadableStream<Uint8Array> | null = c.req.raw.body;
  const bytes = sizeOf(c, CHUNK_BYTES);
  let isNew = false;
  try {
    isNew = (await reserveChunks(c.env, owner, [[sha256, bytes]])).size > 0;
  } finally {
    if (!isNew && body !== null) await readToEnd(body);
  }
  if (!isNew || body === null) return;
  const stored = await putChunk(c.env.BLOBS, owner, sha256, body).catch(async (thrown: unknown) => {
    await dropReserved(c.env.DB, owner, [sha256]);
    throw thrown;
  });
  // If this fails, the row stays, so that a sweep finds what was stored.
  await noteStored(c.env.DB, owner, [[sha256, stored]]);
}

/**
 * Stores the chunks of a body of frames. Throws `chunk_mismatch` with the first of those that are not what they are
 * named; the others are stored all the same.
 */
export async function receiveFrames(c: AppContext, owner: string): Promise<void> {
  const bytes = sizeOf(c, MAX_FRAMES_BYTES);
  const hold = openHold(c.env, c.get("principal").accountId);
  try {
    hold.resize(bytes);
    const frames = decodeFrames(new Uint8Array(await c.req.raw.arrayBuffer()));
    if (frames === null) {
      const detail = `The body is not made of chunks, each behind its SHA-256 and its length: it was cut, or has more than ${MAX_FRAMES}.`;
      throw new EdgeplaneError("invalid_request", detail);
    }
    await storeFrames(c, owner, frames);
  } finally {
    hold.release();
  }
}

async function storeFrames({ env }: AppContext, owner: string, frames: readonly ChunkFrame[]): Promise<void> {
  const byHash = new Map(frames.map((frame) => [frame.sha256, frame]));
  const sized = [...byHash.values()].map(({ sha256, content }): SizedChunk => [sha256, content.byteLength]);
  const fresh = await reserveChunks(env, owner, sized);
  const waiting = [...byHash.values()].filter(({ sha256 }) => fresh.has(sha256));
  const [stored, wrong, failures]: [SizedChunk[], string[], unknown[]] = [[], [], []];
  const putNext = async (): Promise<void> => {
    for (let frame = waiting.pop(); frame !== undefined; frame = waiting.pop()) {
      const { sha256, content } = frame;
      try {
        stored.push([sha256, await putChunk(env.BLOBS, owner, sha256, content)]);
      } catch (thrown) {
        if (thrown instanceof EdgeplaneError) wrong.push(sha256);
        else failures.push(thrown);
      }
    }
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, putNext));
  await noteStored(env.DB, owner, stored);
  const kept = new Set(stored.map(([sha256]) => sha256));
  const lost = [...fresh].filter((sha256) => !kept.has(sha256));
  if (lost.length > 0) await dropReserved(env.DB, owner, lost);
  if (failures.length > 0) throw failures[0];
  if (wrong.length === 0) return;
  const named = wrong.slice(0, NAMED_MISMATCHES).join(", ");
  throw new EdgeplaneError("chunk_mismatch", `The content of these chunks has another SHA-256: ${named}.`);
}

/** A client that still sends when its connection closes would never see the answer. */
async function readToEnd(body: ReadableStream<Uint8Array>): Promise<void> {
  try {
    for await (const _ of piecesOf(body));
  } catch {
    // Its client has left.
  }
}

/** The body's size. Throws `length_required`, `invalid_request` (none) or `payload_too_large`. */
function sizeOf(c: AppContext, most: number): number {
  const bytes = requiredBytes(c.req.raw);
  if (bytes === 0) throw new EdgeplaneError("invalid_request", "The body is empty, and an empty file has no chunks.");
  if (bytes <= most) return bytes;
  throw new EdgeplaneError("payload_too_large", `The body may have at most ${most} bytes.`);
}
