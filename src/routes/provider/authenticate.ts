/** Lets in a provider service, or who reads what is wanted: by a bearer token of its own. */
import { EdgeplaneError } from "../../contract/errors.ts";
import { identifyScaling } from "../../registry/scaling-tokens.ts";
import type { ScalingIdentity, ScalingScope } from "../../registry/scaling-tokens.ts";
import { requireOperator } from "../admin/require-operator.ts";
import type { AppContext } from "../app.ts";

/** Throws `unauthenticated` unless the call carries a valid token, and `forbidden` for one of another scope. */
export async function requireProvider(c: AppContext): Promise<void> {
  c.set("provider", await identified(c, "provider"));
}

/** The operator's key does as well. */
export async function requireMetrics(c: AppContext): Promise<void> {
  if (tokenOf(c)?.startsWith("eps_") === true) await identified(c, "metrics");
  else await requireOperator(c);
}

async function identified(c: AppContext, scope: ScalingScope): Promise<ScalingIdentity> {
  const token = tokenOf(c);
  const identity = token === undefined ? null : await identifyScaling(c.env, token);
  if (identity === null) {
    const detail =
      token === undefined
        ? "The call carries no provider token."
        : "The provider token is not valid, or it was revoked.";
    throw new EdgeplaneError("unauthenticated", detail);
  }
  if (identity.scope !== scope)
    throw new EdgeplaneError(
      "forbidden",
      `This call takes a token of the scope ${scope}, and this one's is ${identity.scope}.`,
    );
  return identity;
}

function tokenOf(c: AppContext): string | undefined {
  return /^bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
}
