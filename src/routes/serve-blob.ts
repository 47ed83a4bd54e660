/**
 * Answers a stored file. It is a stranger's (a model's output, a client's upload): an attachment, in a sandbox, never sniffed.
 */
import type { ZodOpenApiResponseObject } from "zod-openapi";

/** How the answer is described: bytes, of the type that the file was stored with. */
export const blobAnswer: ZodOpenApiResponseObject = {
  description: "The file, of the type that it was stored with.",
  content: { "*/*": { schema: { type: "string", format: "binary" } } },
};

/** The answer with the object's content; `name` is what a browser would save it as. */
export function serveBlob(object: R2ObjectBody, name: string): Response {
  const plainName = name.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 128);
  return new Response(object.body, {
    headers: {
      "content-type": object.httpMetadata?.contentType ?? "application/octet-stream",
      "content-length": String(object.size),
      "content-disposition": `attachment; filename="${plainName}"`,
      "content-security-policy": "default-src 'none'; sandbox",
      "x-content-type-options": "nosniff",
      "cache-control": "private, max-age=3600",
      etag: object.httpEtag,
    },
  });
}
