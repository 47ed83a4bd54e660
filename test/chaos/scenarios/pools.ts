/**
 * A pool that never comes back, and one that comes back from the dead: another pool takes over once the lease has run
 * out.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createExtraPool } from "../harness/extra-pool.ts";
import type { ExtraPool } from "../harness/extra-pool.ts";
import type { Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

const LEASE_MS = 15_000;
const LIMIT_MS = LEASE_MS + 2000;
/** Longer than the lease, so that all it held is given to the other pool. */
const FROZEN_MS = 25_000;

type Fault = (world: World, other: ExtraPool) => Promise<Outage>;

function beside(name: string, fault: Fault, deviceSlackMs = 0): Scenario {
  let other: ExtraPool | null = null;
  return {
    ...{ name, model: "echo", deviceSlackMs },
    async prepare(world) {
      const pool = await createExtraPool(world, "other", world.stack.url);
      other = pool;
      const since = Date.now();
      pool.start();
      await world.said(/connected to the edge/, since);
      return () => pool.stop();
    },
    async disturb(world, load) {
      await load.reached(0.3);
      return other === null ? [] : [await fault(world, other)];
    },
  };
}

export const pools: readonly Scenario[] = [
  beside("a pool dies and never comes back", async (_world, other) => {
    const beganAt = Date.now();
    await other.killForGood();
    return { what: "a pool gone for good", beganAt, endedAt: beganAt, limitMs: LIMIT_MS };
  }),
  beside(
    "a pool is frozen beyond its lease, then goes on",
    async (_world, other) => {
      const { pid } = other;
      if (pid === null) throw new Error("the pool is gone");
      const beganAt = Date.now();
      process.kill(pid, "SIGSTOP");
      await sleep(FROZEN_MS);
      process.kill(pid, "SIGCONT");
      return { what: "a frozen pool", beganAt, endedAt: beganAt, limitMs: LIMIT_MS };
    },
    FROZEN_MS,
  ),
];
