/** What a model's latest arrivals would have cost, and how long they would have waited, under other bounds. */
import type { Machines, Policy } from "./policy.ts";
import { SelfTuning } from "./self-tuning.ts";
import { simulate } from "./simulation/simulate.ts";

/** Arrivals of all models together that are simulated; of each, the latest. */
export const MAX_ARRIVALS = 20_000;
const EVERY_S = 1;
const LATE_AT = 0.95;

export type Asked = {
  name: string;
  /** Seconds, ascending; of more than `MAX_ARRIVALS`, the latest alone. */
  atS: readonly number[];
  /** How many there were in all. */
  arrivals: number;
  workS: number;
  targetS: number;
  min: number;
  max: number;
  kind: Machines;
  pricePerHourNano: number;
};

export type Outcome = {
  name: string;
  arrivals: number;
  /** Of these, the latest that were simulated, over so many seconds. */
  simulated: number;
  overS: number;
  costNano: number;
  machineS: number;
  mostMachines: number;
  meanWaitS: number;
  p95WaitS: number;
  /** Share of them that waited longer than the target. */
  late: number;
};

export function whatIf(models: readonly Asked[]): Outcome[] {
  const each = Math.floor(MAX_ARRIVALS / Math.max(1, models.length));
  return models.map((asked) => outcomeOf(asked, each));
}

function outcomeOf(asked: Asked, most: number): Outcome {
  const { name, workS, targetS, min, max, kind, pricePerHourNano } = asked;
  const atS = Float64Array.from(asked.atS.slice(-most));
  const policy = within(new SelfTuning(targetS, kind, workS), min, max);
  const requests = { atS, workS: new Float64Array(atS.length).fill(workS) };
  const run = simulate(requests, kind, { policy, everyS: EVERY_S }, { startWith: min, mostThere: max });
  const waitsS = run.waitsS.toSorted();
  return {
    name,
    arrivals: asked.arrivals,
    simulated: atS.length,
    overS: (atS.at(-1) ?? 0) - (atS[0] ?? 0),
    costNano: Math.ceil((run.machineS * pricePerHourNano) / 3600),
    machineS: run.machineS,
    mostMachines: run.mostMachines,
    meanWaitS: waitsS.reduce((sum, waitS) => sum + waitS, 0) / Math.max(1, waitsS.length),
    p95WaitS: waitsS[Math.max(0, Math.ceil(LATE_AT * waitsS.length) - 1)] ?? 0,
    late: waitsS.filter((waitS) => waitS > targetS).length / Math.max(1, waitsS.length),
  };
}

function within(policy: SelfTuning, min: number, max: number): Policy {
  return {
    usesPaidTime: policy.usesPaidTime,
    get meanWorkS() {
      return policy.meanWorkS;
    },
    arrived: (atS) => policy.arrived(atS),
    started: (atS, waitS) => policy.started(atS, waitS),
    finished: (atS, workS) => policy.finished(atS, workS),
    booted: (bootS) => policy.booted(bootS),
    machines: (fleet) => Math.min(max, Math.max(min, policy.machines(fleet))),
    wakeAtS: (nowS) => policy.wakeAtS(nowS),
  };
}
