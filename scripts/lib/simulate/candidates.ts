/** Every rule: at the defaults that its makers publish, and with its knobs over a grid, to be tuned in hindsight. */
import { Baseten } from "./rules/baseten.ts";
import { Fixed } from "./rules/fixed.ts";
import { Keda } from "./rules/keda.ts";
import { Knative } from "./rules/knative.ts";
import { RayServe } from "./rules/ray.ts";
import { RunpodQueueDelay, RunpodRequestCount } from "./rules/runpod.ts";
import { SkyServe } from "./rules/skyserve.ts";
import type { Candidate, Setting } from "./types.ts";

export const ruleNames = [
  "RunPod, queue delay",
  "RunPod, request count",
  "KEDA",
  "Knative",
  "SkyServe",
  "Ray Serve",
  "Baseten",
  "fixed fleet",
] as const;

/** Where a rule's default is a share of what a replica can do, and its makers name no share. */
const SHARE = 0.7;

export function rivals({ peakLoad, scenario: { slots } }: Setting): Candidate[] {
  return [
    ...grid("RunPod, queue delay", [4], [5], [0, 1, 4, 15, 60], [5, 30, 120, 600]).map(
      ({ values: [delayS = 0, idleS = 0], isDefault }) =>
        candidate("RunPod, queue delay", { delayS, idleS }, isDefault, (s) => ({
          policy: new RunpodQueueDelay(delayS, idleS, s.scenario.slots),
          everyS: 1,
        })),
    ),
    ...grid(
      "RunPod, request count",
      [4],
      [5],
      [0.5 * slots, 0.7 * slots, slots, 1.5 * slots, 2 * slots, 4 * slots],
      [5, 30, 120, 600],
    ).map(({ values: [per = 1, idleS = 0], isDefault }) =>
      candidate("RunPod, request count", { per, idleS }, isDefault, (s) => ({
        policy: new RunpodRequestCount(per, idleS, s.scenario.slots),
        everyS: 1,
      })),
    ),
    ...grid("KEDA", [10], [300], [0.7 * slots, slots, 2 * slots, 5 * slots], [60, 300, 900]).map(
      ({ values: [lag = 1, downS = 0], isDefault }) =>
        candidate("KEDA", { lag, downS }, isDefault, () => ({ policy: new Keda(lag, 30, downS, downS), everyS: 15 })),
    ),
    ...grid(
      "Knative",
      [SHARE * slots],
      [60],
      [0.5 * slots, 0.85 * slots, slots, 1.3 * slots, 2 * slots, 5 * slots],
      [30, 120, 300, 600],
    ).map(({ values: [target = 1, stableS = 0], isDefault }) =>
      candidate("Knative", { target, stableS }, isDefault, () => ({
        policy: new Knative(target, stableS, 30),
        everyS: 2,
      })),
    ),
    ...[60, 300].flatMap((upS) =>
      grid("SkyServe", [SHARE], [1200], [0.5, 0.85, 1, 1.1], [120, 300, 600]).map(
        ({ values: [share = 1, downS = 0], isDefault }) =>
          candidate("SkyServe", { share, upS, downS }, isDefault && upS === 300, (s) => ({
            policy: new SkyServe((share * s.scenario.slots) / s.meanWorkS, upS, downS),
            everyS: 20,
          })),
      ),
    ),
    ...[0, 30].flatMap((upS) =>
      grid(
        "Ray Serve",
        [2],
        [600],
        [0.5 * slots, 0.7 * slots, 0.85 * slots, slots, 1.5 * slots, 3 * slots],
        [60, 300, 1200],
      ).map(({ values: [target = 1, downS = 0], isDefault }) =>
        candidate("Ray Serve", { target, upS, downS }, isDefault && upS === 30, () => ({
          policy: new RayServe(target, 30, upS, downS),
          everyS: 1,
        })),
      ),
    ),
    ...grid(
      "Baseten",
      [SHARE * slots],
      [900],
      [0.5 * slots, 0.85 * slots, slots, 1.5 * slots, 3 * slots],
      [60, 300, 900],
    ).map(({ values: [target = 1, downS = 0], isDefault }) =>
      candidate("Baseten", { target, downS }, isDefault, () => ({ policy: new Baseten(target, 60, downS), everyS: 1 })),
    ),
    ...fixedCounts(peakLoad / slots).map((count, i) =>
      candidate("fixed fleet", { machines: count }, i === 0, () => ({ policy: new Fixed(count), everyS: 60 })),
    ),
  ];
}

/** The first is the default: as many as the busiest ten minutes keep busy. */
function fixedCounts(peak: number): number[] {
  const first = Math.max(1, Math.ceil(peak));
  const shares = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.2, 1.3, 1.5];
  return [first, ...new Set(shares.map((share) => Math.max(1, Math.round(first * share))).filter((n) => n !== first))];
}

function grid(
  _rule: string,
  firstDefault: number[],
  secondDefault: number[],
  first: number[],
  second: number[],
): { values: number[]; isDefault: boolean }[] {
  const [a = 0] = firstDefault;
  const [b = 0] = secondDefault;
  const pairs = first.flatMap((x) => second.map((y) => [x, y]));
  const others = pairs.filter(([x, y]) => x !== a || y !== b);
  return [{ values: [a, b], isDefault: true }, ...others.map((values) => ({ values, isDefault: false }))];
}

function candidate(
  rule: string,
  knobs: Record<string, number>,
  isDefault: boolean,
  make: Candidate["make"],
): Candidate {
  const said = Object.entries(knobs).map(([name, value]) => `${name} ${Math.round(value * 100) / 100}`);
  return { rule, knobs: said.join(", "), isDefault, make };
}
