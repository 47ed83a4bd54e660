/** What every bundle needs before it is registered: its chunks, and the list of its files as a chunk. */
import type * as z from "zod";
import { BundleSchema } from "../contract/bundle.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { NAMED_MISSING_CHUNKS } from "../contract/push.ts";
import type { Env } from "../env.ts";
import { chunkKey, putChunk } from "../storage/chunks.ts";
import { dropReserved, noteStored, reserveChunks, unfitChunks } from "./chunks.ts";
import type { SizedChunk } from "./chunks.ts";
import type { QuotaVars } from "./quotas.ts";

type Stores = QuotaVars & Pick<Env, "DB" | "BLOBS">;

/**
 * Throws `bundle_incomplete` where chunks that the files need are not here, and `chunk_mismatch` where one has another
 * size.
 */
export async function checkChunks(db: D1Database, owner: string, chunks: readonly SizedChunk[]): Promise<void> {
  const unfit = await unfitChunks(db, owner, chunks, NAMED_MISSING_CHUNKS);
  if (unfit.length === 0) return;
  const wrong = unfit.find(({ bytes }) => bytes !== null);
  if (wrong !== undefined) {
    const detail = `The chunk ${wrong.sha256} has ${wrong.bytes} bytes, and the list of files says otherwise.`;
    throw new EdgeplaneError("chunk_mismatch", detail);
  }
  const names = unfit.map(({ sha256 }) => sha256).join(", ");
  const more = unfit.length === NAMED_MISSING_CHUNKS ? " These are the first of them." : "";
  throw new EdgeplaneError("bundle_incomplete", `Chunks that the files need are not here: ${names}.${more}`);
}

/** Stores a list of files as the chunk that it is. `name`: its SHA-256. Throws `quota_exceeded`. */
export async function storeList(env: Stores, owner: string, name: string, list: Uint8Array): Promise<void> {
  const chunk: SizedChunk = [name, list.byteLength];
  if ((await reserveChunks(env, owner, [chunk])).size === 0) return;
  try {
    await putChunk(env.BLOBS, owner, name, list);
  } catch (thrown) {
    await dropReserved(env.DB, owner, [name]);
    throw thrown;
  }
  await noteStored(env.DB, owner, [chunk]);
}

/** A list of files that is stored as a chunk; null where it is gone, or isn't what it was. */
export async function readList(
  bucket: R2Bucket,
  owner: string,
  list: string,
): Promise<z.output<typeof BundleSchema> | null> {
  const object = await bucket.get(chunkKey(owner, list));
  if (object === null) return null;
  const text = await object.text();
  try {
    return BundleSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
