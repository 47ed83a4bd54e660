/**
 * Events that reach the edge twice, late, out of order, and whose answers are lost. Their `seq` and token put them
 * right.
 */
import { createExtraPool } from "../harness/extra-pool.ts";
import { startEventProxy } from "../harness/event-proxy.ts";
import type { Scenario } from "../harness/scenario.ts";

export const events: readonly Scenario[] = [
  {
    name: "events sent twice and out of order",
    model: "echo",
    async prepare(world) {
      const proxy = await startEventProxy(world.stack.port, { events: true });
      const pool = await createExtraPool(world, "proxied", proxy.url);
      await world.stack.stopPool();
      const since = Date.now();
      pool.start();
      await world.said(/connected to the edge/, since);
      return async () => {
        await pool.stop();
        await proxy.stop();
        if (proxy.mistreated === 0) throw new Error("the proxy mistreated nothing");
      };
    },
    disturb: async () => [],
  },
];
