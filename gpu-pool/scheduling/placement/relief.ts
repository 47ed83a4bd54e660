/** Who ends because a device turned out to hold more than it has: processes grow, and so do other programs. Pure. */
import type { Ledger } from "./ledger.ts";
import type { Host, PlacedInstance } from "./types.ts";
import { valueOf } from "./victims.ts";

/** Idle instances, the least valuable first, until each device has what those that stay take. What runs goes on. */
export function reliefOf({ models, instances }: Host, ledger: Ledger): string[] {
  const chosen: PlacedInstance[] = [];
  for (const account of ledger.all()) {
    const idle = instances.flatMap((instance) => {
      const owner = models.find(({ model }) => model === instance.model);
      const mayEnd =
        instance.state === "idle" && owner?.pinned === false && instance.devices.includes(account.device.id);
      return mayEnd && !chosen.includes(instance) ? { instance, value: valueOf(owner, 1) } : [];
    });
    idle.sort((one, other) => one.value - other.value);
    for (const { instance } of idle) {
      if (account.free + account.coming >= 0) break;
      chosen.push(instance);
      ledger.evict(instance);
    }
  }
  return chosen.map(({ id }) => id);
}
