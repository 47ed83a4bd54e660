/**
 * Inputs that kill whoever runs them: the model process each time, or the whole pool. They fail after their attempts;
 * the innocent finish.
 */
import type { Job, Outage, Scenario } from "../harness/scenario.ts";

/**
 * Where in the load the culprits stand. Few, so that the pool's crash-loop guard, which is meant for broken models,
 * stays out of it.
 */
const places = [0.3, 0.6];
/** All that one culprit costs: its batch is halved until it is alone, and each time a process starts again. */
const POISON_LIMIT_MS = 15_000;
const POOL_LIMIT_MS = 20_000;

function culprits(kills: "process" | "pool", where: readonly number[]) {
  return (_key: string, index: number, count: number): Job => {
    const fails = where.some((place) => index === Math.floor(place * count));
    return { input: { kills: fails ? kills : "nothing" }, fails };
  };
}

function fatal(name: string, kills: "process" | "pool", where: readonly number[], limitMs: number): Scenario {
  return {
    name,
    model: "fatal",
    job: culprits(kills, where),
    async disturb(world, load): Promise<Outage[]> {
      const began = Date.now();
      const sign = kills === "process" ? /model process died/ : /pool │ died/;
      const beganAt = await world.said(sign, began);
      await load.reached(1);
      return [{ what: `an input that kills the ${kills}`, beganAt, endedAt: beganAt, limitMs }];
    },
  };
}

export const inputs: readonly Scenario[] = [
  fatal("an input that kills its process every time", "process", places, POISON_LIMIT_MS),
  fatal("an input that kills the whole pool", "pool", [0.4], POOL_LIMIT_MS),
];
