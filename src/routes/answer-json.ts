/**
 * JSON answers that may be long: what their client has not read yet stays in memory, and counts as its account's, as
 * the bodies of its requests do.
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { AppContext } from "./app.ts";
import { openHold } from "./body-budget.ts";
import type { BodyHold } from "./body-budget.ts";
import { acceptsGzip } from "./compress.ts";

/** Up to this an answer is handed over whole. */
const SHORT_CHARS = 64 * 1024;
const PIECE_CHARS = 64 * 1024;

/** A reader that takes nothing for so long is given up. */
const UNREAD_MS = 120_000;

/** Throws `too_many_bytes` to a `GET` of an account that has as many bytes under way as it may. */
export function answerJson(
  c: AppContext,
  value: unknown,
  status: ContentfulStatusCode = 200,
  headers: Record<string, string> = {},
): Response {
  const text = JSON.stringify(value);
  const described = { ...headers, "content-type": "application/json" };
  if (text.length <= SHORT_CHARS || c.req.method === "HEAD") return c.body(text, status, described);
  const hold = openHold(c.env, c.get("principal").accountId);
  if (c.req.method === "GET") hold.resize(text.length);
  else hold.force(text.length);
  const { readable, writable } = new IdentityTransformStream();
  c.executionCtx.waitUntil(send(text, writable.getWriter(), hold));
  return c.body(readable, status, {
    ...described,
    // Nobody collects it first to compress it.
    "cache-control": "no-store, no-transform",
    vary: "accept-encoding",
    ...(acceptsGzip(c.req.header("accept-encoding")) ? { "content-encoding": "gzip" } : {}),
  });
}

/** Writes it a piece at a time, until its reader has it or has left. */
async function send(text: string, writer: WritableStreamDefaultWriter<Uint8Array>, hold: BodyHold): Promise<void> {
  const encoder = new TextEncoder();
  const giveUp = () => void writer.abort(new Error("nobody reads this answer")).catch(() => {});
  let timer = setTimeout(giveUp, UNREAD_MS);
  try {
    for (let at = 0; at < text.length;) {
      const end = endOfPiece(text, at + PIECE_CHARS);
      await writer.write(encoder.encode(text.slice(at, end)));
      hold.touch();
      clearTimeout(timer);
      timer = setTimeout(giveUp, UNREAD_MS);
      at = end;
    }
    await writer.close();
  } catch {
    // The reader has left, or takes nothing.
  } finally {
    clearTimeout(timer);
    hold.release();
  }
}

/** Not between the halves of a surrogate pair. */
function endOfPiece(text: string, at: number): number {
  return (text.charCodeAt(at - 1) & 0xfc00) === 0xd800 ? at + 1 : at;
}
