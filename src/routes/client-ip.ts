/** The caller's address. */
import type { AppContext } from "./app.ts";

/**
 * As the platform tells it, which sets the header itself: a client's own is replaced. Null where nobody does, as on a
 * local stack.
 */
export function clientIpOf(c: AppContext): string | null {
  return c.req.header("cf-connecting-ip") ?? null;
}
