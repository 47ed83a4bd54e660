/** Chunks of pushed models, and of environments, in the bucket: each owner's by themselves, named by their content. */
import { EdgeplaneError } from "../contract/errors.ts";

/** R2's code for content that has another checksum: https://developers.cloudflare.com/r2/api/error-codes/ */
const BAD_DIGEST = /\(10037\)/;

const ENVIRONMENTS = "environments/";

/** Under which the chunks of an owner's environments lie; the name of no account has a slash. */
export function environmentChunksOf(owner: string): string {
  return `${ENVIRONMENTS}${owner}`;
}

/** Whether what lies under this name is of environments. */
export function isOfEnvironments(owner: string): boolean {
  return owner.startsWith(ENVIRONMENTS);
}

/** Whose account the chunks under this name are. */
export function ownerOfChunks(owner: string): string {
  return isOfEnvironments(owner) ? owner.slice(ENVIRONMENTS.length) : owner;
}

export function chunkKey(owner: string, sha256: string): string {
  return `models/${owner}/chunks/${sha256}`;
}

/**
 * Stores a chunk, which the store itself checks. Answers its size in bytes. Throws `chunk_mismatch` when the content is
 * not what `sha256` says.
 */
export async function putChunk(
  bucket: R2Bucket,
  owner: string,
  sha256: string,
  content: ReadableStream | Uint8Array,
): Promise<number> {
  try {
    const { size } = await bucket.put(chunkKey(owner, sha256), content, { sha256 });
    return size;
  } catch (cause) {
    if (!(cause instanceof Error && BAD_DIGEST.test(cause.message))) throw cause;
    throw new EdgeplaneError("chunk_mismatch", `The content of the chunk ${sha256} has another SHA-256.`, { cause });
  }
}
