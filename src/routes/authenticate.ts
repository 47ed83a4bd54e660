/** Lets a call in: the `authenticate` phase, then the scope that the route asks for. */
import type { Scope } from "../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { runPhase } from "../pipeline/run-phase.ts";
import { currentSnapshot } from "../settings/current.ts";
import type { AppContext } from "./app.ts";
import { clientIpOf } from "./client-ip.ts";

/** Sets `principal`. Throws `unauthenticated` or `forbidden` unless the call's credential carries `scope`. */
export async function authenticate(c: AppContext, scope: Scope): Promise<void> {
  const { principal } = await runPhase(await currentSnapshot(c.env), "authenticate", {
    requestId: c.get("requestId"),
    method: c.req.method,
    path: c.req.path,
    clientIp: clientIpOf(c),
    header: (name) => c.req.header(name),
    principal: null,
  });
  if (principal === null) {
    const detail =
      c.req.header("authorization") === undefined
        ? "The call carries no credential."
        : "The credential is not one of this gateway's.";
    throw new EdgeplaneError("unauthenticated", detail);
  }
  if (!principal.scopes.includes(scope)) {
    throw new EdgeplaneError("forbidden", `The key lacks the scope "${scope}".`);
  }
  c.set("principal", principal);
}
