/**
 * Compresses JSON that is read and long enough that it pays. The header is enough: the runtime compresses what carries
 * it. https://developers.cloudflare.com/workers/runtime-apis/response/#parameters (`encodeBody`)
 */
import type { MiddlewareHandler } from "hono";
import type { App } from "./app.ts";

/** Below this it takes longer than it saves: a packet or two. */
const MIN_BYTES = 2048;
const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\b/;

export function compress(): MiddlewareHandler<App> {
  return async function compressMiddleware(c, next) {
    await next();
    const { method } = c.req;
    if ((method !== "GET" && method !== "QUERY") || !JSON_TYPE.test(c.res.headers.get("content-type") ?? "")) return;
    // A stored file goes out as it is: its ranges and its `ETag` are of its own bytes, and it may be larger than
    // memory.
    if (c.res.headers.get("cache-control")?.includes("no-transform") === true) return;
    c.header("vary", "accept-encoding", { append: true });
    if (!acceptsGzip(c.req.header("accept-encoding"))) return;
    const { status, headers } = c.res;
    const body = await c.res.arrayBuffer();
    c.res = new Response(body, { status, headers });
    if (body.byteLength >= MIN_BYTES) c.header("content-encoding", "gzip");
  };
}

/** https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3 */
export function acceptsGzip(header: string | undefined): boolean {
  const accepted = (header ?? "").split(",").map((coding) => coding.trim().toLowerCase().split(";"));
  const weight = (coding: string) => {
    const found = accepted.find(([name]) => name?.trim() === coding);
    return found === undefined ? null : Number(found[1]?.replace(/^\s*q=/, "") ?? 1);
  };
  return (weight("gzip") ?? weight("*") ?? 0) > 0;
}
