/** Lets the operator in: `ADMIN_KEY` as bearer. */
import { EdgeplaneError } from "../../contract/errors.ts";
import type { AppContext } from "../app.ts";

/**
 * Throws `not_found` while no `ADMIN_KEY` is set, so that an unused door doesn't show, and `unauthenticated` for
 * another key.
 */
export async function requireOperator(c: AppContext): Promise<void> {
  const expected = c.env.ADMIN_KEY ?? "";
  if (expected === "") throw new EdgeplaneError("not_found", "There is nothing at this address.");
  const given = /^bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  if (!(await sameSecret(given, expected))) {
    throw new EdgeplaneError("unauthenticated", "These calls take the operator's key.");
  }
}

/** Compares digests, so that neither length nor content shows in the time it takes. */
async function sameSecret(given: string, expected: string): Promise<boolean> {
  const encoder = new TextEncoder();
  const [a, b] = await Promise.all(
    [given, expected].map((text) => crypto.subtle.digest("SHA-256", encoder.encode(text))),
  );
  return a !== undefined && b !== undefined && crypto.subtle.timingSafeEqual(a, b);
}
