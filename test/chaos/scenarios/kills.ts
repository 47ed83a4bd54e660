/** SIGKILL to what runs: a model process, the pool, workerd, and two of them at once; each several times under load. */
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadView, Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

/** When the faults come, as shares of the load that has finished; and never before the last one should be over. */
const moments = [0.1, 0.35, 0.6];
const MODEL_LIMIT_MS = 1000;
const PROCESS_LIMIT_MS = 2000;

type Victim = {
  what: string;
  kill(world: World): void;
  /** What is said when it is back. */
  back: RegExp;
  limitMs: number;
};

const model: Victim = {
  what: "model process",
  kill: (world) => world.killModels(),
  back: /model ready/,
  limitMs: MODEL_LIMIT_MS,
};
export const pool: Victim = {
  what: "pool",
  kill: ({ stack }) => stack.killPool(),
  back: /pool started/,
  limitMs: PROCESS_LIMIT_MS,
};
export const workerd: Victim = {
  what: "workerd",
  kill: ({ stack }) => stack.killWorkerd(),
  back: /edge │ back/,
  limitMs: PROCESS_LIMIT_MS,
};

export async function killAtMoments(victims: readonly Victim[], world: World, load: LoadView): Promise<Outage[]> {
  const outages: Outage[] = [];
  for (const moment of moments) {
    await load.reached(moment);
    const beganAt = Date.now();
    for (const victim of victims) victim.kill(world);
    const backAt = await Promise.all(victims.map((victim) => world.said(victim.back, beganAt)));
    const limitMs = Math.max(...victims.map((victim) => victim.limitMs));
    outages.push({
      what: `kill -9 of ${victims.map(({ what }) => what).join(" and ")}`,
      beganAt,
      endedAt: Math.max(...backAt),
      limitMs,
    });
    await sleep(limitMs);
  }
  return outages;
}

function killsOf(...victims: Victim[]): Scenario {
  return {
    name: `kill -9 of ${victims.map(({ what }) => what).join(" and ")}`,
    model: "echo",
    disturb: (world, load) => killAtMoments(victims, world, load),
  };
}

export const kills: readonly Scenario[] = [
  killsOf(model),
  killsOf(pool),
  killsOf(workerd),
  killsOf(pool, workerd),
  killsOf(model, workerd),
];
