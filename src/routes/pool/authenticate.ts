/** Lets a pool in: a bearer token of its own, scoped to lanes. */
import { EdgeplaneError } from "../../contract/errors.ts";
import { identifyPool } from "../../registry/pool-tokens.ts";
import type { AppContext } from "../app.ts";

/** Sets `pool`. Throws `unauthenticated` unless the call carries a valid pool token. */
export async function requirePool(c: AppContext): Promise<void> {
  const token = /^bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  const pool = token === undefined ? null : await identifyPool(c.env, token);
  if (pool === null) {
    const detail =
      token === undefined ? "The call carries no pool token." : "The pool token is not valid, or it was revoked.";
    throw new EdgeplaneError("unauthenticated", detail);
  }
  c.set("pool", pool);
}
