/** What a step of load has ordered at once, whatever knobs turn while much waits. */
import { expect, it } from "vitest";
import type { Fleet, Machines } from "./policy.ts";
import { SelfTuning } from "./self-tuning.ts";
import { seededRandom } from "./simulation/random.ts";
import { simulate } from "./simulation/simulate.ts";
import type { Requests } from "./simulation/simulate.ts";

const WORK_S = 8;
/** Square roots of the load that chance may ask for. */
const DEVIATIONS = 3;
/** Before that it is the start. */
const START_BOOTS = 3;

/** Poisson arrivals at a load of `2 × slots` that becomes `8 × slots` at `stepAtS`, with exponential work. */
function step({ bootS, slots }: Machines, stepAtS: number, seed: number): Requests {
  const random = seededRandom(seed);
  const drawn = (mean: number): number => -Math.log(1 - random()) * mean;
  const [at, work] = [[], []] as [number[], number[]];
  const untilS = stepAtS + 5 * bootS + 600;
  for (let nowS = drawn(4 / slots); nowS < untilS; nowS += drawn(1 / ((nowS < stepAtS ? 0.25 : 1) * slots))) {
    at.push(nowS);
    work.push(drawn(WORK_S) + 0.01);
  }
  return { atS: Float64Array.from(at), workS: Float64Array.from(work) };
}

/**
 * Machines for the load after the step, for chance, and for what waits and comes while one boots: so many that each has
 * a boot's time of work in it.
 */
function useful({ waiting, running }: Fleet, { bootS, slots }: Machines): number {
  const load = WORK_S * slots;
  const leftS = (waiting + running) * WORK_S + load * bootS;
  return Math.ceil((load + DEVIATIONS * Math.sqrt(load) + leftS / (bootS + WORK_S)) / slots);
}

type Look = { atS: number; wanted: number; useful: number };

/** The looks after the start at which machines are ordered. */
function orders(kind: Machines, targetS: number, stepAtS: number, seed: number): Look[] {
  const looks: Look[] = [];
  const policy = new SelfTuning(targetS, kind, WORK_S);
  const decide = policy.machines.bind(policy);
  policy.machines = (fleet) => {
    const wanted = decide(fleet);
    const isOrder = fleet.nowS > START_BOOTS * kind.bootS && wanted > fleet.ready + fleet.booting;
    if (isOrder) looks.push({ atS: fleet.nowS, wanted, useful: useful(fleet, kind) });
    return wanted;
  };
  simulate(step(kind, stepAtS, seed), kind, { policy, everyS: 1 });
  return looks;
}

const kindOf = (bootS: number, slots: number): Machines => ({ bootS, slots, billingS: 1, lossPerHour: 0 });

it.each([
  // Boot, slots, target, when the step comes, seed.
  [20, 1, 0.6, 760, 2],
  [20, 8, 0.6, 760, 3],
  [60, 1, 0.6, 1080, 3],
  [60, 1, 0.6, 1600, 3],
  [60, 8, 0.6, 1600, 3],
  [60, 8, 0.6, 2250, 2],
  [240, 1, 5, 800, 1],
  [240, 1, 5, 1300, 2],
  [240, 1, 5, 1300, 3],
  [240, 1, 5, 2776, 3],
  [240, 8, 0.6, 800, 3],
])("orders what is of use: boots of %i s, %i slots, a target of %f s, a step at %i s, seed %i", (...settings) => {
  const [bootS, slots, targetS, stepAtS, seed] = settings;
  const looks = orders(kindOf(bootS, slots), targetS, stepAtS, seed);
  expect(looks.length).toBeGreaterThan(0);
  expect(looks.filter((look) => look.wanted > look.useful)).toEqual([]);
});

it("orders what is of use to three models together, whose load rises at the same time", () => {
  const kind = kindOf(240, 1);
  const models = [1, 2, 3].map((seed) => orders(kind, 5, 800, seed));
  const most = (of: (look: Look) => number): number =>
    models.reduce((sum, looks) => sum + Math.max(...looks.map(of)), 0);
  expect(most(({ wanted }) => wanted)).toBeLessThanOrEqual(most((look) => look.useful));
});
