/**
 * What no rule can go below: a fluid linear program that knows all arrivals beforehand. Its relaxations: machines come
 * in fractions and boot before they are needed; work flows, so that it can be shared and moved between machines at any
 * time; nothing is rounded up to billing increments, and no machine is lost; of each request only that is demanded
 * which the wait that is aimed at makes certain (begun `targetS` after its arrival at the latest, and then run without
 * a pause); the 5 % that may be late are those with the most work, and may be served at any later time.
 */
import highs from "highs";
import { meanWorkS } from "./trace.ts";
import type { ModelRequests, Scenario } from "./types.ts";

/**
 * The package's types are those of its CommonJS build, which has the loader one level deeper than the module has it.
 */
const loadHighs = highs as unknown as typeof highs.default;
const BUCKETS = 400;
const LATE_SHARE = 0.05;

/** In seconds of machines. Throws when the solver finds no optimum. */
export async function lowerBoundS(
  requests: ModelRequests,
  { slots, bootS }: Scenario,
  targetS: number,
): Promise<number> {
  const solver = await loadHighs();
  const solution = solver.solve(program(envelopes(requests, targetS), slots, bootS));
  if (solution.Status !== "Optimal") throw new Error(`the lower bound of ${requests.model}: ${solution.Status}`);
  return solution.ObjectiveValue;
}

type Envelopes = {
  bucketS: number;
  /** Cumulative work, in slot-seconds: that can be done by a bucket's end, and that must be. */
  can: number[];
  must: number[];
  /** Work that arrives in a bucket, and how much of all may be late. */
  arriving: number[];
  mayBeLate: number;
};

function envelopes({ atS, workS, model }: ModelRequests, targetS: number): Envelopes {
  const fromS = atS[0] ?? 0;
  const meanS = meanWorkS({ atS, workS });
  const toS = Math.max(...workS.map((work, i) => (atS[i] ?? 0) + work)) + Math.max(targetS, meanS);
  const bucketS = (toS - fromS) / BUCKETS;
  if (!(bucketS > 0)) throw new Error(`the trace of ${model} has no length`);
  const arriving = Array.from({ length: BUCKETS }, () => 0);
  atS.forEach((at, i) => {
    const bucket = Math.min(BUCKETS - 1, Math.floor((at - fromS) / bucketS));
    arriving[bucket] = (arriving[bucket] ?? 0) + (workS[i] ?? 0);
  });
  const sorted = workS.toSorted().toReversed();
  const mayBeLate = sorted.subarray(0, Math.floor(LATE_SHARE * sorted.length)).reduce((sum, work) => sum + work, 0);
  const ends = Array.from({ length: BUCKETS }, (_, k) => fromS + (k + 1) * bucketS);
  return { bucketS, arriving, mayBeLate, can: doneBy(ends, atS, workS, 0), must: doneBy(ends, atS, workS, targetS) };
}

/** What is done by each time if every request begins `delayS` after its arrival. */
function doneBy(ends: readonly number[], atS: Float64Array, workS: Float64Array, delayS: number): number[] {
  // As sums of ramps: each adds one slot at its start, and takes it at its end.
  const steps: { atS: number; slots: number }[] = [];
  atS.forEach((at, i) => {
    steps.push({ atS: at + delayS, slots: 1 }, { atS: at + delayS + (workS[i] ?? 0), slots: -1 });
  });
  steps.sort((a, b) => a.atS - b.atS);
  let [next, slots, done, nowS] = [0, 0, 0, -Infinity];
  return ends.map((endS) => {
    for (let step = steps[next]; step !== undefined && step.atS <= endS; step = steps[next]) {
      if (slots > 0) done += slots * (step.atS - nowS);
      nowS = step.atS;
      slots += step.slots;
      next += 1;
    }
    if (slots > 0) done += slots * (endS - nowS);
    nowS = endS;
    return done;
  });
}

/** In CPLEX's LP format: m machines, u of them new, s work done so far, l of it late so far. */
function program({ bucketS, can, must, arriving, mayBeLate }: Envelopes, slots: number, bootS: number): string {
  const buckets = can.map((_, k) => k);
  const cost = buckets.flatMap((k) => [`${fixed(bucketS)} m${k}`, `${fixed(bootS)} u${k}`]);
  const rows = buckets.flatMap((k) => {
    const before = (name: string): string => (k === 0 ? "" : ` - ${name}${k - 1}`);
    return [
      `s${k}${before("s")} - ${fixed(slots * bucketS)} m${k} <= 0`,
      ...(k === 0 ? [] : [`s${k} - s${k - 1} >= 0`]),
      `m${k}${before("m")} - u${k} <= 0`,
      `s${k} <= ${fixed(can[k] ?? 0)}`,
      `s${k} + l${k} >= ${fixed(must[k] ?? 0)}`,
      `l${k}${before("l")} <= ${fixed(arriving[k] ?? 0)}`,
      ...(k === 0 ? [] : [`l${k} - l${k - 1} >= 0`]),
    ];
  });
  const last = can.length - 1;
  rows.push(`l${last} <= ${fixed(mayBeLate)}`, `s${last} >= ${fixed(can[last] ?? 0)}`);
  return `Minimize\n cost: ${cost.join("\n + ")}\nSubject To\n${rows.map((row, i) => ` r${i}: ${row}`).join("\n")}\nEnd\n`;
}

function fixed(number: number): string {
  return number.toFixed(6);
}
