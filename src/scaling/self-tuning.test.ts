/** The policy that tunes itself: it comes to the wait that is aimed at, and pays no more than it must. */
import { describe, expect, it } from "vitest";
import { BacklogRule } from "./backlog-rule.ts";
import type { Knobs } from "./backlog-rule.ts";
import type { Machines, Policy } from "./policy.ts";
import { Ring } from "./ring.ts";
import { SelfTuning } from "./self-tuning.ts";
import { seededRandom } from "./simulation/random.ts";
import { simulate } from "./simulation/simulate.ts";
import type { Requests } from "./simulation/simulate.ts";

const kind: Machines = { bootS: 60, slots: 1, billingS: 1, lossPerHour: 0 };

/** Poisson arrivals at `rate(atS)` a second, with exponential work of `workS` on average. */
function arrivals(lengthS: number, workS: number, rate: (atS: number) => number, seed: number): Requests {
  const random = seededRandom(seed);
  const [at, work] = [[], []] as [number[], number[]];
  for (let nowS = 0; nowS < lengthS;) {
    nowS += -Math.log(1 - random()) / rate(nowS);
    at.push(nowS);
    work.push(-Math.log(1 - random()) * workS);
  }
  return { atS: Float64Array.from(at), workS: Float64Array.from(work) };
}

function p95(waitsS: Float64Array): number {
  return waitsS.toSorted()[Math.floor(waitsS.length * 0.95)] ?? 0;
}

const daily = (atS: number): number => 1 + 0.8 * Math.sin((2 * Math.PI * atS) / 9600);

describe("SelfTuning", () => {
  it.each([8, 60])("comes within a third of a p95 wait of %i s once the load has come and gone twice", (targetS) => {
    const { waitsS } = simulate(arrivals(19_200, 5, daily, 4), kind, {
      policy: new SelfTuning(targetS, kind),
      everyS: 1,
    });
    expect(p95(waitsS)).toBeLessThan(targetS * 1.33 + 0.2);
  });

  it("measures its load as it is beside a version to which twenty times as much comes", () => {
    const [perSecond, workS, elsewherePerSecond] = [0.4, 5, 8];
    const tuned = new SelfTuning(20, kind);
    let toldS = 0;
    const loads: number[] = [];
    const policy: Policy = {
      usesPaidTime: true,
      arrived: (atS) => tuned.arrived(atS),
      started: (atS, waitS) => tuned.started(atS, waitS),
      finished: (atS, work) => tuned.finished(atS, work),
      booted: (bootS) => tuned.booted(bootS),
      wakeAtS: (nowS) => tuned.wakeAtS(nowS),
      machines(fleet) {
        for (; toldS < fleet.nowS; toldS += 1 / elsewherePerSecond) tuned.arrivedElsewhere(toldS);
        const wanted = tuned.machines(fleet);
        const { load, meanWorkS } = tuned.reasons;
        if (fleet.nowS > 1800 && load > 0) loads.push(load / meanWorkS);
        return wanted;
      },
    };
    simulate(
      arrivals(10_800, workS, () => perSecond, 3),
      kind,
      { policy, everyS: 1 },
    );
    expect(tuned.tunings).toBeGreaterThan(3);
    expect(loads.length).toBeGreaterThan(1000);
    const mean = loads.reduce((sum, one) => sum + one, 0) / loads.length;
    expect(mean / perSecond).toBeGreaterThan(0.95);
    expect(mean / perSecond).toBeLessThan(1.05);
  });

  it("begins with what arrives and what is known of the work, whatever has piled up while the first machine boots", () => {
    const slow = { ...kind, bootS: 240 };
    const requests = arrivals(1200, 5, () => 4, 3);
    const runOf = (meanWorkS?: number) =>
      simulate(requests, slow, { policy: new SelfTuning(30, slow, meanWorkS), everyS: 1 });
    const [known, unknown] = [runOf(5), runOf()];
    // 20 slots are busy, and what piles up in 240 s ends within 85 s by some 60 more; counting heads would order 500.
    expect(known.mostMachines).toBeGreaterThan(30);
    expect(known.mostMachines).toBeLessThan(100);
    expect(p95(known.waitsS)).toBeLessThan(p95(unknown.waitsS));
  });

  it("pays about what the best of its knobs would have, and less than those that it begins with", () => {
    const slow = { ...kind, bootS: 240 };
    const requests = arrivals(19_200, 5, daily, 9);
    const tuned = simulate(requests, slow, { policy: new SelfTuning(8, slow), everyS: 1 });
    const costOf = (knobs: Knobs): { p95S: number; machineS: number } => {
      const { waitsS, machineS } = simulate(requests, slow, { policy: new BacklogRule(knobs, slow), everyS: 1 });
      return { p95S: p95(waitsS), machineS };
    };
    const plain = { windowS: 0, deviations: 0, looksAhead: false, keepsBusy: true, dayShare: 0, holdS: 0 };
    const begins = [0, 2, 4, 8].map((backlogS) => costOf({ ...plain, backlogS, keepS: 360 }));
    const forecasts = [0, 0.5, 1, 2].map((deviations) =>
      costOf({ ...plain, backlogS: 240, keepS: 120, windowS: 600, deviations }),
    );
    const bestOf = (runs: typeof begins): number =>
      Math.min(...runs.filter(({ p95S }) => p95S <= p95(tuned.waitsS)).map(({ machineS }) => machineS));
    expect(tuned.machineS).toBeLessThan(bestOf(begins));
    expect(tuned.machineS).toBeLessThan(1.15 * bestOf(forecasts));
  });

  it("keeps a machine through long silences where its target takes that, and no longer than it may", () => {
    const rare = arrivals(4 * 86_400, 5, () => 1 / 3600, 6);
    const hoursAndP95 = (maxKeepS: number): [number, number] => {
      const policy = new SelfTuning(5, kind, 5, maxKeepS);
      const { waitsS, machineS } = simulate(rare, kind, { policy, everyS: 1 });
      return [machineS / 3600, p95(waitsS.subarray(70))];
    };
    const [hours, p95S] = hoursAndP95(Infinity);
    expect(p95S).toBeLessThan(5);
    expect(hours).toBeLessThan(4 * 24);
    const [fewer, late] = hoursAndP95(60);
    expect(late).toBe(60);
    expect(fewer).toBeLessThan(10);
  });

  it("below a tenth of a second, lets fewer wait the shorter its target is", () => {
    const requests = arrivals(9600, 5, daily, 4);
    const lateAndCost = [0.1, 0.025, 0.003].map((targetS) => {
      const { waitsS, machineS } = simulate(requests, kind, { policy: new SelfTuning(targetS, kind, 5), everyS: 1 });
      // The first boot's are late whatever it does.
      return { late: waitsS.subarray(300).filter((waitS) => waitS > 0.1).length, machineS };
    });
    const [most, fewer, fewest] = lateAndCost;
    expect(fewer?.late).toBeLessThan((most?.late ?? 0) / 2);
    expect(fewest?.late).toBeLessThan((fewer?.late ?? 0) / 2);
    expect(fewest?.machineS).toBeGreaterThan(fewer?.machineS ?? 0);
  });

  it.each([1, 2, 3])(
    "has one in twenty wait long after a load that has grown was served by too few (seed %i)",
    (seed) => {
      const requests = arrivals(18_000, 3.8, (atS) => (atS < 3600 ? 0.8 : 1.4), seed);
      const policy = new SelfTuning(0.1, kind, 3.8);
      const { waitsS } = simulate(requests, kind, { policy, everyS: 1 });
      const settled = waitsS.subarray(requests.atS.findIndex((atS) => atS > 10_800));
      const late = settled.filter((waitS) => waitS > 0.1).length / settled.length;
      expect(late).toBeGreaterThan(0.02);
      expect(late).toBeLessThan(0.08);
    },
  );

  it("tunes anew for another target below a tenth of a second", () => {
    const learned = new SelfTuning(0.1, kind).memory();
    expect(learned.targetS).toBe(0.1);
    expect(new SelfTuning(0.01, kind).memory().targetS).toBe(0.01);
  });

  it("decides the same for the same past", () => {
    const requests = arrivals(3600, 5, () => 1, 2);
    const costs = [1, 2].map(() => simulate(requests, kind, { policy: new SelfTuning(5, kind), everyS: 1 }).machineS);
    expect(costs[0]).toBe(costs[1]);
  });
});

describe("Ring", () => {
  it("keeps the latest, the oldest first", () => {
    const ring = new Ring(3);
    for (const number of [1, 2, 3, 4]) ring.push(number);
    expect([...ring.latest()]).toEqual([2, 3, 4]);
    expect([...ring.latest(2)]).toEqual([3, 4]);
    expect(ring.count).toBe(4);
  });
});
