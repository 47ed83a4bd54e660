/**
 * Leases of pools that have no channel. No object knows these, and asked for a lease it says that there is none: what
 * they claimed would be lost 1.5 s later, which is soon on a machine that stands still for a second.
 */
import { vi } from "vitest";
import { PoolSession } from "../../src/fleet/pool-session.ts";
import type { Lease } from "../../src/fleet/types.ts";

type Check = PoolSession["check"];

const held = new Set<string>();
const REMAINING_MS = 15_000;

/** From now on the lease of `session` holds, until mocks are restored. */
export function holdLease(session: string): void {
  held.add(session);
  if (vi.isMockFunction(Reflect.get(PoolSession.prototype, "check"))) return;
  const check = Reflect.get(PoolSession.prototype, "check");
  vi.spyOn(PoolSession.prototype, "check").mockImplementation(async function (
    this: PoolSession,
    ...asked: Parameters<Check>
  ): Promise<Lease> {
    const { id } = Reflect.get(this, "ctx") as DurableObjectState;
    if (held.has(id.name ?? "")) return { alive: true, remainingMs: REMAINING_MS };
    return check.apply(this, asked);
  });
}
