/**
 * Many small chunks in one body of a request: for each, the 32 bytes of its SHA-256, four bytes of its length (big
 * end first), and its content.
 */
export const MAX_FRAMES = 256;
export const MAX_FRAMES_BYTES = 8 * 1024 * 1024;
const HASH_BYTES = 32;
/** What stands before a chunk's content. */
export const FRAME_HEADER_BYTES = HASH_BYTES + 4;

/** `sha256` in hexadecimal. */
export type ChunkFrame = { sha256: string; content: Uint8Array<ArrayBuffer> };

/** The body that holds them, of at most `MAX_FRAMES_BYTES` and `MAX_FRAMES`: the caller's to see to. */
export function encodeFrames(frames: readonly ChunkFrame[]): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(frames.reduce((sum, { content }) => sum + FRAME_HEADER_BYTES + content.length, 0));
  const view = new DataView(body.buffer);
  let offset = 0;
  for (const { sha256, content } of frames) {
    for (let at = 0; at < HASH_BYTES; at += 1)
      body[offset + at] = Number.parseInt(sha256.slice(2 * at, 2 * at + 2), 16);
    view.setUint32(offset + HASH_BYTES, content.length);
    body.set(content, offset + FRAME_HEADER_BYTES);
    offset += FRAME_HEADER_BYTES + content.length;
  }
  return body;
}

/** Views into the body; null when it ends in the middle of a frame, or has an empty chunk, or too many. */
export function decodeFrames(body: Uint8Array<ArrayBuffer>): ChunkFrame[] | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const frames: ChunkFrame[] = [];
  for (let offset = 0; offset < body.length;) {
    const start = offset + FRAME_HEADER_BYTES;
    if (start > body.length || frames.length === MAX_FRAMES) return null;
    const length = view.getUint32(offset + HASH_BYTES);
    if (length === 0 || start + length > body.length) return null;
    const sha256 = Array.from(body.subarray(offset, offset + HASH_BYTES), (byte) => byte.toString(16).padStart(2, "0"));
    frames.push({ sha256: sha256.join(""), content: body.subarray(start, start + length) });
    offset = start + length;
  }
  return frames;
}
