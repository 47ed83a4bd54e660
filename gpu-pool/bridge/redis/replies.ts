/**
 * Replies of Redis as JSON: plain, or with every string in base64 so that any bytes survive (`Upstash-Encoding:
 * base64`).
 */
import type { Outcome } from "./connection.ts";
import { exactInteger } from "./exact-json.ts";

export type RestResult = { result: unknown } | { error: string };

export function restResult(outcome: Outcome, base64: boolean): RestResult {
  return outcome.ok ? { result: encode(outcome.reply, base64) } : { error: outcome.error };
}

/** In replies texts are buffers, and integers strings: numbers would lose digits beyond 2^53. */
function encode(reply: unknown, base64: boolean): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString(base64 ? "base64" : "utf8");
  if (typeof reply === "string") return exactInteger(reply);
  if (Array.isArray(reply))
    return reply.map((part) => (part instanceof Error ? `ERR ${part.message}` : encode(part, base64)));
  return reply ?? null;
}
