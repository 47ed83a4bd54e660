/**
 * Answers a stored file: whole, in part (`Range`, `If-Range`), or by name only (`HEAD`, `If-None-Match`). It is a
 * stranger's (a model's output, a client's upload): an attachment, in a sandbox, never sniffed.
 */
import * as z from "zod";
import type { ZodOpenApiResponseObject } from "zod-openapi";
import { EdgeplaneError } from "../contract/errors.ts";
import { parseRange } from "./byte-range.ts";

const MAX_NAME_CHARS = 255;
const CONDITIONS = ["range", "if-none-match", "if-modified-since"];

/** A type that a stranger may give: https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1 */
export const MEDIA_TYPE = /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}(?: *;[\x20-\x7e]*)?$/;

const content = { "*/*": { schema: { type: "string" as const, format: "binary" } } };

/** How the answers are described: bytes, of the type that the file was stored with. */
export const blobAnswers: Record<number, ZodOpenApiResponseObject> = {
  200: { description: "The file, of the type that it was stored with.", content },
  206: { description: "The bytes that `Range` asks for; `Content-Range` says which these are.", content },
  304: { description: "It is the one that `If-None-Match` names." },
};

/** What may be asked of it. */
export const BlobHeaderSchema = z.object({
  Range: z
    .string()
    .optional()
    .meta({ description: "One range of bytes.", examples: ["bytes=0-1023"] }),
  "If-Range": z
    .string()
    .optional()
    .meta({ description: "The `ETag` that the range is of; of another file comes all." }),
  "If-None-Match": z.string().optional().meta({ description: "An `ETag` that is at hand already." }),
});

/**
 * The answer to `request` (GET or HEAD) with the object under `key`; null when it is gone. `name` is what a browser
 * would save it as. Throws `range_not_satisfiable`. https://www.rfc-editor.org/rfc/rfc9110#section-13
 */
export async function serveBlob(
  request: Request,
  bucket: R2Bucket,
  key: string,
  name: string,
): Promise<Response | null> {
  const isHead = request.method === "HEAD";
  if (!isHead && !CONDITIONS.some((header) => request.headers.has(header))) {
    const object = await bucket.get(key);
    return object === null ? null : new Response(object.body, { headers: headersOf(object, name, object.size) });
  }
  const object = await bucket.head(key);
  if (object === null) return null;
  if (isUnchanged(request.headers, object)) {
    const { "content-length": _length, ...headers } = headersOf(object, name, 0);
    return new Response(null, { status: 304, headers });
  }
  const range = rangeOf(request.headers, object);
  if (range === "unsatisfiable") {
    throw new EdgeplaneError("range_not_satisfiable", `The file has ${object.size} bytes.`, {
      headers: { "content-range": `bytes */${object.size}` },
    });
  }
  const { offset, length } = range ?? { offset: 0, length: object.size };
  const headers = headersOf(object, name, length);
  if (range !== null) headers["content-range"] = `bytes ${offset}-${offset + length - 1}/${object.size}`;
  const status = range === null ? 200 : 206;
  if (isHead) return new Response(null, { status, headers });
  const found = await bucket.get(key, range === null ? {} : { range });
  return found === null ? null : new Response(found.body, { status, headers });
}

function headersOf(object: R2Object, name: string, length: number): Record<string, string> {
  const whole = name.slice(-MAX_NAME_CHARS).toWellFormed();
  // In quotes; `%` is left out, as some browsers decode it. https://www.rfc-editor.org/rfc/rfc6266#appendix-D
  const plainName = whole.replaceAll(/[^ -~]|["\\/%]/gu, "_");
  const anyName = encodeURIComponent(whole).replaceAll(/['()*]/g, escapeChar);
  return {
    "content-type": plainType(object.httpMetadata?.contentType),
    "content-length": String(length),
    "content-disposition": `attachment; filename="${plainName}"${whole === plainName ? "" : `; filename*=UTF-8''${anyName}`}`,
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "accept-ranges": "bytes",
    "cache-control": "private, max-age=3600, no-transform",
    "last-modified": object.uploaded.toUTCString(),
    etag: object.httpEtag,
  };
}

/** Whether the caller has it already. `If-None-Match` counts before `If-Modified-Since`. */
function isUnchanged(headers: Headers, object: R2Object): boolean {
  const tags = headers.get("if-none-match");
  if (tags !== null)
    return tags.split(",").some((tag) => ["*", object.httpEtag].includes(tag.trim().replace(/^W\//, "")));
  const since = Date.parse(headers.get("if-modified-since") ?? "");
  return !Number.isNaN(since) && wholeSeconds(object.uploaded) <= since;
}

/** `If-Range` names what the range is of: another content is answered whole. */
function rangeOf(headers: Headers, object: R2Object): ReturnType<typeof parseRange> {
  const of = headers.get("if-range");
  if (of !== null && of !== object.httpEtag && Date.parse(of) !== wholeSeconds(object.uploaded)) return null;
  return parseRange(headers.get("range"), object.size);
}

function wholeSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1000) * 1000;
}

function escapeChar(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** The type that the stranger gave, where it has the form of one. */
function plainType(type: string | undefined): string {
  return type !== undefined && MEDIA_TYPE.test(type) ? type : "application/octet-stream";
}
