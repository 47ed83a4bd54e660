/** Lets a call in: the `authenticate` phase, then the scope that the route asks for. */
import type { Call, Scope } from "../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { newTrail, runPhase } from "../pipeline/run-phase.ts";
import type { AppContext } from "./app.ts";
import { clientIpOf } from "./client-ip.ts";
import { settingsOf } from "./request-settings.ts";

/** Sets `principal`. Throws `unauthenticated` or `forbidden` unless the call's credential carries `scope`. */
export async function authenticate(c: AppContext, scope: Scope): Promise<void> {
  const call: Call = {
    requestId: c.get("requestId"),
    method: c.req.method,
    path: c.req.path,
    clientIp: clientIpOf(c),
    header: (name) => c.req.header(name),
    headers: () => c.req.header(),
    principal: null,
  };
  const trail = newTrail();
  const { principal } = await runPhase(await settingsOf(c), "authenticate", call, trail);
  for (const [name, value] of Object.entries(trail.headers)) c.header(name, value);
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
