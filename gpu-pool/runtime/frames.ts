/**
 * Frames between the pool and a model process: a 4-byte big-endian length, then that many bytes of UTF-8 JSON
 * (python/PROTOCOL.md). At most 8 MiB a frame.
 */
import type { Json } from "../../src/contract/prediction.ts";
import { parseJson } from "../transport/json.ts";

export const MAX_FRAME_BYTES = 8 * 1024 * 1024;
/** A JSON value of more than this goes by file. */
export const FILE_ABOVE_BYTES = 6 * 1024 * 1024;

const HEADER_BYTES = 4;
const FILE_MARK = '"$file"';

export type Frame = {
  /** The parsed JSON; not yet checked. */
  value: Json;
  sizeBytes: number;
  /** Whether an output file may be in it, so that a reader need not walk each value. */
  mentionsFile: boolean;
};

export function encodeFrame(text: string): Buffer {
  const sizeBytes = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + sizeBytes);
  frame.writeUInt32BE(sizeBytes, 0);
  frame.write(text, HEADER_BYTES, "utf8");
  return frame;
}

/** Cuts a byte stream into frames, whatever its chunks are. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #buffered = 0;
  #needed = HEADER_BYTES;

  /** The frames that `chunk` completes. Throws on a frame that is too large or not JSON: the peer is broken. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    while (this.#buffered >= this.#needed) {
      const all = this.#joined();
      const sizeBytes = all.readUInt32BE(0);
      if (sizeBytes > MAX_FRAME_BYTES) throw new Error(`a frame of ${sizeBytes} bytes is over the limit`);
      const endsAt = HEADER_BYTES + sizeBytes;
      if (all.length < endsAt) {
        this.#needed = endsAt;
        break;
      }
      const text = all.toString("utf8", HEADER_BYTES, endsAt);
      const value = parseJson(text);
      frames.push({ value, sizeBytes, mentionsFile: text.includes(FILE_MARK) });
      this.#chunks = [all.subarray(endsAt)];
      this.#buffered -= endsAt;
      this.#needed = HEADER_BYTES;
    }
    return frames;
  }

  #joined(): Buffer {
    const [only] = this.#chunks;
    if (this.#chunks.length === 1 && only !== undefined) return only;
    const all = Buffer.concat(this.#chunks, this.#buffered);
    this.#chunks = [all];
    return all;
  }
}
