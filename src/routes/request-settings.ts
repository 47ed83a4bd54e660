/** The settings of one request: the same from its first look at them to its answer, whatever is published meanwhile. */
import type { Snapshot } from "../../plugins/kernel/snapshot.ts";
import { leaseSnapshot } from "../settings/current.ts";
import type { AppContext } from "./app.ts";

/** Throws `unavailable` while the settings can't be read. */
export async function settingsOf(c: AppContext): Promise<Snapshot> {
  const known = c.get("settings");
  if (known !== undefined) return known.snapshot;
  const lease = await leaseSnapshot(c.env);
  c.set("settings", lease);
  return lease.snapshot;
}
