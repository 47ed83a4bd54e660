/** Stores a content whose length nobody knows yet, with one part of it in memory. */
import type { Env } from "../env.ts";
import type { QuotaVars } from "../registry/quotas.ts";
import { toHex } from "./transfer.ts";
import { MIN_PART_BYTES, abortUpload, startUpload } from "./uploads.ts";
import type { UploadPlan } from "./uploads.ts";

/** What the first part has room for at first: most files are small. */
const FIRST_BYTES = 64 * 1024;

type Stores = Pick<Env, "DB" | "BLOBS"> & QuotaVars;

export type Collected = { etag: string; sizeBytes: number; sha256: string };

/**
 * Stores what `pieces` bring under `plan.key`: in one go when it is less than 5 MiB, else as a multipart upload, whose
 * row is for the caller to delete when it has noted the object: until then a sweep may take it. Whatever the pieces
 * throw comes out, and nothing stays.
 */
export async function collect(
  stores: Stores,
  plan: Omit<UploadPlan, "sizeBytes" | "partBytes">,
  pieces: AsyncIterable<Uint8Array>,
): Promise<Collected> {
  const digest = new crypto.DigestStream("SHA-256");
  const hashing = digest.getWriter();
  const parts = partsOf(pieces, async (piece) => hashing.write(piece));
  const first = await parts.next();
  const second = first.done === true ? first : await parts.next();
  if (second.done === true) {
    const content = first.done === true ? new Uint8Array() : first.value;
    const { contentType } = plan;
    const { etag } = await stores.BLOBS.put(plan.key, content, { httpMetadata: { contentType } });
    await hashing.close();
    return { etag, sizeBytes: content.byteLength, sha256: toHex(await digest.digest) };
  }
  const upload = await startUpload(stores, { ...plan, sizeBytes: 0, partBytes: MIN_PART_BYTES });
  try {
    const multipart = stores.BLOBS.resumeMultipartUpload(upload.key, upload.multipartId);
    const uploaded: R2UploadedPart[] = [];
    let sizeBytes = 0;
    const add = async (part: Uint8Array): Promise<void> => {
      uploaded.push(await multipart.uploadPart(uploaded.length + 1, part));
      sizeBytes += part.byteLength;
    };
    if (first.done !== true) await add(first.value);
    await add(second.value);
    for await (const part of parts) await add(part);
    await hashing.close();
    const { etag } = await multipart.complete(uploaded);
    return { etag, sizeBytes, sha256: toHex(await digest.digest) };
  } catch (thrown) {
    await abortUpload(stores, upload);
    throw thrown;
  }
}

/** Pieces put together to parts of one size, but for the last. */
async function* partsOf(
  pieces: AsyncIterable<Uint8Array>,
  see: (piece: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  let part = new Uint8Array(FIRST_BYTES);
  let filled = 0;
  for await (const piece of pieces) {
    await see(piece);
    for (let taken = 0; taken < piece.length;) {
      const bytes = piece.subarray(taken, taken + MIN_PART_BYTES - filled);
      part = grown(part, filled + bytes.length);
      part.set(bytes, filled);
      filled += bytes.length;
      taken += bytes.length;
      if (filled < MIN_PART_BYTES) continue;
      yield part;
      part = new Uint8Array(MIN_PART_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}

/** The same bytes with room for `bytes`. */
function grown(part: Uint8Array<ArrayBuffer>, bytes: number): Uint8Array<ArrayBuffer> {
  if (bytes <= part.length) return part;
  const larger = new Uint8Array(Math.min(MIN_PART_BYTES, Math.max(bytes, 2 * part.length)));
  larger.set(part);
  return larger;
}
