/**
 * The edge away for 30 s: connections stay open and nothing answers (stopped), or nothing is there (killed and not
 * started again).
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

const AWAY_MS = 30_000;
/** What was granted in an answer that nobody got is asked for twice, 1.5 s apart, and then runs. */
const LIMIT_MS = 4000;

async function freeze(world: World): Promise<Outage> {
  const { workerd } = world.stack.pids();
  if (workerd === null) throw new Error("there is no workerd");
  const beganAt = Date.now();
  process.kill(workerd, "SIGSTOP");
  await sleep(AWAY_MS);
  process.kill(workerd, "SIGCONT");
  return { what: "workerd stopped", beganAt, endedAt: Date.now(), limitMs: LIMIT_MS };
}

export const edge: readonly Scenario[] = [
  {
    name: "the edge hangs for 30 s",
    model: "echo",
    async disturb(world, load) {
      await load.reached(0.3);
      return [await freeze(world)];
    },
  },
];
