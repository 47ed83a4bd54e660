/** Bytes of chunks on this machine, as they are sent: one large chunk a request, or many small ones in one. */
import { changed, openUnchanged } from "./folder.ts";
import type { PushedFile } from "./folder.ts";
import type { Write } from "./request.ts";

const READ_BYTES = 1024 * 1024;
const HASH_BYTES = 32;
const LENGTH_BYTES = 4;

/** Where a chunk can be read. */
export type Chunk = { sha256: string; file: PushedFile; at: number; bytes: number };

/** Writes its bytes, and reads on meanwhile. Throws where the file changed since it was listed. */
export async function writeChunk({ file, at, bytes }: Chunk, write: Write): Promise<void> {
  const handle = await openUnchanged(file);
  try {
    const size = Math.min(READ_BYTES, bytes);
    const buffers = [Buffer.allocUnsafe(size), Buffer.allocUnsafe(size)];
    let underway: Promise<void> = Promise.resolve();
    for (let sent = 0, turn = 0; sent < bytes; turn += 1) {
      const buffer = buffers[turn % 2] ?? Buffer.alloc(0);
      const { bytesRead } = await handle.read(buffer, 0, Math.min(size, bytes - sent), at + sent);
      if (bytesRead === 0) throw changed(file.path);
      sent += bytesRead;
      await underway;
      underway = write(buffer.subarray(0, bytesRead));
    }
    await underway;
  } finally {
    await handle.close();
  }
}

/** Writes each as its SHA-256, its length (4 bytes, big-endian) and its bytes, as `POST …/chunks` takes them. */
export async function writeFrames(chunks: readonly Chunk[], write: Write): Promise<void> {
  const frames: Buffer[] = [];
  for (const chunk of chunks) {
    const head = Buffer.alloc(HASH_BYTES + LENGTH_BYTES);
    head.write(chunk.sha256, "hex");
    head.writeUInt32BE(chunk.bytes, HASH_BYTES);
    frames.push(head);
    await writeChunk(chunk, (part) => {
      frames.push(Buffer.from(part));
      return Promise.resolve();
    });
  }
  await write(Buffer.concat(frames));
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
