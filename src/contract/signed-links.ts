/** Links that work without a key until they expire: a prediction's stream, an output file. */
import { keyFor, sign, verify } from "./signing.ts";
import type { Purpose } from "./signing.ts";

type LinkPurpose = Extract<Purpose, "stream" | "blob" | "file">;

const MAX_EXPIRY = 253_402_300_799;

/** The query (`expires=…&signature=…`) that opens `resource` until `expiresAt` (milliseconds since the epoch). */
export async function signLink(
  secret: string,
  purpose: LinkPurpose,
  resource: string,
  expiresAt: number,
): Promise<string> {
  const expires = Math.ceil(expiresAt / 1000);
  const signature = await sign(await keyFor(secret, purpose), `${resource}\n${expires}`);
  return `expires=${expires}&signature=${signature}`;
}

/** Whether a link's query opens `resource` at `now`. */
export async function verifyLink(
  secret: string,
  purpose: LinkPurpose,
  resource: string,
  query: { expires?: string | undefined; signature?: string | undefined },
  now: number,
): Promise<boolean> {
  const expires = query.expires !== undefined && /^\d{1,12}$/.test(query.expires) ? Number(query.expires) : 0;
  if (expires > MAX_EXPIRY || expires * 1000 < now || query.signature === undefined) return false;
  return verify(await keyFor(secret, purpose), `${resource}\n${expires}`, query.signature);
}
