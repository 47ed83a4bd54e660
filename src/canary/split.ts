/** Which predictions of a name get the version that is tried. */
import * as z from "zod";

/** No rule and no split looks at these. */
export const CREDENTIAL_HEADERS: readonly string[] = ["authorization", "cookie", "proxy-authorization"];

/** `request`: each by itself; `account`: all of an account alike; `header:NAME`: all with the same value alike. */
const STICKY_BY = /^(?:request|account|header:[a-z0-9][a-z0-9-]{0,62})$/;

export const StickyBySchema = z
  .string()
  .regex(STICKY_BY, "must be `request`, `account` or `header:` and a name in lower case")
  .refine((by) => !CREDENTIAL_HEADERS.some((name) => by === `header:${name}`), "must not be a header with a credential")
  .default("request")
  .meta({
    description:
      "What keeps its version: `request` (the default; one `Idempotency-Key` always gets the same), `account`, or `header:NAME`: all requests with the same value of that header. Without the header it is as `request`.",
    examples: ["account"],
  });

/** What is known of the request that names the version. */
export type Asking = { predictionId: string; accountId: string; header(name: string): string | undefined };

/** By what the request is told from others. */
export function subjectOf(stickyBy: string, { predictionId, accountId, header }: Asking): string {
  if (stickyBy === "account") return accountId;
  const value = stickyBy.startsWith("header:") ? header(stickyBy.slice("header:".length)) : undefined;
  return value ?? predictionId;
}

/**
 * Whether the subject is among the `percent`. It stays there while the percentage grows, and is drawn anew for another
 * `salt`.
 */
export function isAmong(percent: number, salt: string, subject: string): boolean {
  return hash(`${salt} ${subject}`) < (percent / 100) * 2 ** 32;
}

/** FNV-1a over UTF-16 units, and the finalizer of MurmurHash3, which spreads its last bits over all. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
