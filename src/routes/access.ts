/** Who may make a call: every route names it, and the check is made before anything of the request is read. */
import type { Scope } from "../../plugins/kernel/phases.ts";
import { requireOperator } from "./admin/require-operator.ts";
import type { AppContext } from "./app.ts";
import { authenticate } from "./authenticate.ts";
import { requirePool } from "./pool/authenticate.ts";
import { requireMetrics, requireProvider } from "./provider/authenticate.ts";

/**
 * A scope of an API key; the operator's key; a pool token; a provider token; a token that reads metrics, or the
 * operator's key; or anyone. What the routes check themselves: a signed link, and a link where a key with
 * `predictions:read` does as well.
 */
export type Access = Scope | "operator" | "pool" | "provider" | "metrics" | "link" | "link_or_key" | "anyone";

/**
 * Lets the call in, and sets `principal`, `pool` or `provider`. Throws `unauthenticated`, `forbidden`, or what a plugin
 * refuses with.
 */
export async function admit(c: AppContext, access: Access): Promise<void> {
  switch (access) {
    case "anyone":
    case "link":
    case "link_or_key":
      return;
    case "operator":
      return requireOperator(c);
    case "pool":
      return requirePool(c);
    case "provider":
      return requireProvider(c);
    case "metrics":
      return requireMetrics(c);
    default:
      return authenticate(c, access);
  }
}

/** Whose share of the isolate's memory a call's body takes, once it was let in. */
export function holderOf(c: AppContext, access: Access): string {
  if (access === "pool") return `pool ${c.get("pool").poolTokenId}`;
  if (access === "provider") return `provider ${c.get("provider").id}`;
  if (access === "metrics") return access;
  const isOfKey = access !== "operator" && access !== "anyone" && access !== "link" && access !== "link_or_key";
  return isOfKey ? c.get("principal").accountId : access;
}
