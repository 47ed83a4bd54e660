/** The settings of one request: the same from its first look at them to its answer, whatever is published meanwhile. */
import type { Snapshot } from "../../plugins/kernel/snapshot.ts";
import type { PushedPolicy } from "../sandbox/pushed/policy.ts";
import { leaseSnapshot } from "../settings/current.ts";
import type { Lease } from "../settings/snapshots.ts";
import type { AppContext } from "./app.ts";

/** Throws `unavailable` while the settings can't be read. */
export async function settingsOf(c: AppContext): Promise<Snapshot> {
  return (await leaseOf(c)).snapshot;
}

/** What the settings say of plugins of pushed models. Throws `unavailable`. */
export async function pushedPolicyOf(c: AppContext): Promise<PushedPolicy> {
  return (await leaseOf(c)).pushed;
}

async function leaseOf(c: AppContext): Promise<Lease> {
  const known = c.get("settings");
  if (known !== undefined) return known;
  const lease = await leaseSnapshot(c.env);
  c.set("settings", lease);
  return lease;
}
