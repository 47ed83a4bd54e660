/** Bytes of chunks on this machine, as they are sent: one large chunk a request, or many small ones in one. */
import { open } from "node:fs/promises";
import { changed, checkUnchanged } from "./folder.ts";
import type { PushedFile } from "./folder.ts";

const READ_BYTES = 1024 * 1024;
const HASH_BYTES = 32;
const LENGTH_BYTES = 4;

/** Where a chunk can be read. */
export type Chunk = { sha256: string; file: PushedFile; at: number; bytes: number };

/** Its bytes. Throws where the file changed since it was listed. */
export async function* bytesOf({ file, at, bytes }: Chunk): AsyncGenerator<Buffer> {
  const handle = await open(file.file, "r");
  try {
    checkUnchanged(file, await handle.stat({ bigint: true }));
    for (let sent = 0; sent < bytes;) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, bytes - sent));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at + sent);
      if (bytesRead === 0) throw changed(file.path);
      sent += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** Each as its SHA-256, its length (4 bytes, big-endian) and its bytes, as `POST …/chunks` takes them. */
export async function* framesOf(chunks: readonly Chunk[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) {
    const head = Buffer.alloc(HASH_BYTES + LENGTH_BYTES);
    head.write(chunk.sha256, "hex");
    head.writeUInt32BE(chunk.bytes, HASH_BYTES);
    yield head;
    yield* bytesOf(chunk);
  }
}

export function framedBytes(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, { bytes }) => sum + HASH_BYTES + LENGTH_BYTES + bytes, 0);
}

/** What is gathered of small chunks until a request is full: at most 8 MiB and 256 of them. */
const SMALL_BYTES = 1024 * 1024;
const GROUP_BYTES = 8 * 1024 * 1024;
const GROUP_CHUNKS = 256;

/** Puts chunks into requests: large ones alone, and at once. */
export class Grouping {
  #small: Chunk[] = [];

  /** What can be sent now. */
  add(chunk: Chunk): Chunk[][] {
    if (chunk.bytes > SMALL_BYTES) return [[chunk]];
    const isFull = this.#small.length === GROUP_CHUNKS || framedBytes([...this.#small, chunk]) > GROUP_BYTES;
    const full = isFull ? this.rest() : [];
    this.#small.push(chunk);
    return full;
  }

  rest(): Chunk[][] {
    const small = this.#small;
    this.#small = [];
    return small.length === 0 ? [] : [small];
  }
}
