/** Pictures among the files that models left in object storage, for plugins that look at them. */
import { outputBlobPrefix } from "./blobs.ts";

const LINK = /^(?:https?:\/\/[^/]+)?\/v1\/outputs\/([^/?#]+)\/([^/?#]+)\/([^/?#]+)/;
const PICTURE = /^image\/[a-z0-9.+-]+$/i;
/** A larger one is not read: the isolate would hold it and its base64. */
const MAX_PICTURE_BYTES = 8 * 1024 * 1024;
/** Bytes that are turned into characters at once: each is an argument of one call. */
const BYTES_AT_ONCE = 32_768;

/**
 * The picture that `link`, in the output of the prediction `id`, leads to, as a data URI; null when it leads to none.
 * Throws for one of more than 8 MiB.
 */
export async function readPicture(bucket: R2Bucket, id: string, link: string): Promise<string | null> {
  const [, of, token, name] = LINK.exec(link) ?? [];
  if (of !== id || token === undefined || name === undefined) return null;
  const key = `${outputBlobPrefix(id, token)}${name}`;
  const head = await bucket.head(key);
  const [type = ""] = (head?.httpMetadata?.contentType ?? "").split(";");
  if (head === null || !PICTURE.test(type.trim())) return null;
  if (head.size > MAX_PICTURE_BYTES)
    throw new Error(`a picture of more than ${MAX_PICTURE_BYTES / 1024 / 1024} MiB can't be judged`);
  const object = await bucket.get(key);
  if (object === null) return null;
  return `data:${type.trim()};base64,${base64(new Uint8Array(await object.arrayBuffer()))}`;
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += BYTES_AT_ONCE)
    text += String.fromCharCode(...bytes.subarray(at, at + BYTES_AT_ONCE));
  return btoa(text);
}
