/** The simulator, against queueing theory and by its own rules. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BacklogRule } from "../backlog-rule.ts";
import type { Fleet, Machines, Policy, Timed } from "../policy.ts";
import { seededRandom } from "./random.ts";
import { simulate } from "./simulate.ts";
import type { Requests } from "./simulate.ts";

const kind: Machines = { bootS: 10, slots: 1, billingS: 1, lossPerHour: 0 };

function policyOf(machines: (fleet: Fleet) => number, usesPaidTime = false): Policy {
  const nothing = (): void => {};
  return {
    usesPaidTime,
    arrived: nothing,
    started: nothing,
    finished: nothing,
    booted: nothing,
    machines,
    wakeAtS: () => Infinity,
  };
}
const fixed = (count: number) => ({ policy: policyOf(() => count), everyS: 1 });

function requestsOf(...pairs: [atS: number, workS: number][]): Requests {
  return { atS: Float64Array.from(pairs, ([atS]) => atS), workS: Float64Array.from(pairs, ([, workS]) => workS) };
}

/** Poisson arrivals, exponential work of a mean of one second. */
function poisson(rate: number, count: number, seed: number): Requests {
  const random = seededRandom(seed);
  const drawn = (mean: number): number => -Math.log(1 - random()) * mean;
  let nowS = 0;
  const pairs = Array.from({ length: count }, (): [number, number] => {
    nowS += drawn(1 / rate);
    return [nowS, drawn(1)];
  });
  return requestsOf(...pairs);
}

/** The mean wait of M/M/c with one second of work each: A. K. Erlang's C, over what is left of the servers. */
function erlangWaitS(load: number, servers: number): number {
  let blocked = 1;
  for (let n = 1; n <= servers; n += 1) blocked = (load * blocked) / (n + load * blocked);
  const waits = blocked / (1 - (load / servers) * (1 - blocked));
  return waits / (servers - load);
}

describe("simulate", () => {
  it("lets requests wait for the machine's boot, and then for each other, and pays until the last is done", () => {
    const { waitsS, machineS } = simulate(requestsOf([0, 5], [1, 5]), kind, fixed(1));
    expect([...waitsS]).toEqual([10, 14]);
    expect(machineS).toBe(20);
  });

  it("says where what is paid went, and what was in flight while something waited", () => {
    const two = { ...kind, slots: 2, billingS: 60 };
    const { machineS, spent } = simulate(requestsOf([0, 5], [1, 5], [12, 40]), two, fixed(1));
    // It boots for 10 s, runs two until 15 and one from 12 to 15 and on, until 55: the third waits from 12 to 15.
    expect(machineS).toBe(60);
    expect(spent).toEqual({
      ...{ bootS: 10, workS: 25, idleS: 20, drainS: 0, unusedS: 5 },
      ...{ waitsInBootS: 19, waitsElseS: 3 },
    });
  });

  it("counts free slots of machines that drain by themselves", () => {
    const two = { ...kind, slots: 2 };
    const policy = policyOf(({ nowS }) => (nowS < 12 ? 1 : 0));
    const { spent } = simulate(requestsOf([0, 20]), two, { policy, everyS: 1 });
    expect(spent).toMatchObject({ bootS: 10, workS: 10, idleS: 1, drainS: 9, unusedS: 0 });
  });

  it("adds up to what is paid, whatever is lost and drained", () => {
    const requests = poisson(2, 400, 5);
    const machines = { bootS: 7, slots: 3, billingS: 30, lossPerHour: 60 };
    const policy = policyOf(({ nowS }) => 1 + (Math.floor(nowS / 20) % 3));
    const { machineS, spent, lost } = simulate(requests, machines, { policy, everyS: 1 });
    const { bootS, workS, idleS, drainS, unusedS } = spent;
    expect(lost).toBeGreaterThan(0);
    for (const part of [bootS, workS, idleS, drainS, unusedS]) expect(part).toBeGreaterThan(0);
    expect(bootS + workS + idleS + drainS + unusedS).toBeCloseTo(machineS, 6);
    expect(workS * 3).toBeGreaterThan(requests.workS.reduce((sum, one) => sum + one, 0));
  });

  it("counts a machine of one slot as busy while it drains, though it may be lost meanwhile", () => {
    const long = requestsOf(...Array.from({ length: 40 }, (_, i): [number, number] => [i, 15]));
    const policy = policyOf(({ nowS }) => (Math.floor(nowS / 10) % 2 === 0 ? 6 : 1));
    const { spent, lost } = simulate(long, { ...kind, bootS: 1, lossPerHour: 120 }, { policy, everyS: 1 });
    expect(lost).toBeGreaterThan(5);
    expect(spent.drainS).toBeCloseTo(0, 6);
  });

  it("rounds what is paid up to increments", () => {
    expect(simulate(requestsOf([0, 5]), { ...kind, billingS: 60 }, fixed(1)).machineS).toBe(60);
  });

  it("keeps a machine that is paid for, where the policy says so", () => {
    const leaves = (usesPaidTime: boolean) => ({
      policy: policyOf(({ waiting, running }) => Math.min(1, waiting + running), usesPaidTime),
      everyS: 1,
    });
    const requests = requestsOf([0, 1], [40, 1]);
    const hourly = { ...kind, billingS: 3600 };
    expect(simulate(requests, hourly, leaves(false)).machineS).toBe(7200);
    const { machineS, waitsS } = simulate(requests, hourly, leaves(true));
    expect(machineS).toBe(3600);
    expect(waitsS[1]).toBe(0);
  });

  it("lets a machine go so early that what runs on it ends within the increment that is paid", () => {
    // Of two machines that are always busy, one is too many from the second half of the hour on.
    const requests = requestsOf(...Array.from({ length: 1300 }, (_, i): [number, number] => [i * 3, 6]));
    const leaving = (meanWorkS: number): Timed => ({
      policy: { ...policyOf(({ nowS }) => (nowS < 1800 ? 2 : 1), true), meanWorkS },
      everyS: 1,
    });
    const hourly = { ...kind, billingS: 3600 };
    const paidS = (meanWorkS: number): number => simulate(requests, hourly, leaving(meanWorkS)).machineS;
    expect(paidS(0) - paidS(6)).toBe(3600);
    expect(simulate(requests, { ...hourly, bootS: 3600 }, leaving(6)).machineS).toBe(
      simulate(requests, { ...hourly, bootS: 3600 }, leaving(0)).machineS,
    );
  });

  it.each([
    [0.8, 1],
    [6, 8],
    [15, 18],
  ])("waits as long as Erlang's formula says at a load of %f on %i machines", (load, servers) => {
    const requests = poisson(load, 60_000, 7);
    const { waitsS } = simulate(requests, { ...kind, bootS: 0 }, fixed(servers), { startWith: servers });
    const mean = waitsS.reduce((sum, waitS) => sum + waitS, 0) / waitsS.length;
    expect(mean / erlangWaitS(load, servers)).toBeGreaterThan(0.85);
    expect(mean / erlangWaitS(load, servers)).toBeLessThan(1.15);
  });

  it("runs a request anew, ahead of the others, when its machine is lost", () => {
    const lossy = { ...kind, lossPerHour: 360 };
    const requests = requestsOf(...Array.from({ length: 40 }, (_, i): [number, number] => [i, 4]));
    const { waitsS, lost } = simulate(requests, lossy, fixed(3), { seed: 3 });
    expect(lost).toBeGreaterThan(3);
    expect(waitsS.every((waitS) => waitS >= 0)).toBe(true);
  });

  it("serves where an increment is no longer than a boot and a machine too many is ordered now and then", () => {
    let look = 0;
    const flapping = policyOf(({ waiting, running }) => {
      look += 1;
      return waiting + running === 0 ? 0 : 1 + Number(look % 40 === 0);
    }, true);
    const { waitsS } = simulate(
      requestsOf([0, 5]),
      { ...kind, bootS: 60, billingS: 60 },
      { policy: flapping, everyS: 1 },
    );
    expect(waitsS[0]).toBe(60);
  });

  it("ends every request, and tells the policy of each once, whatever the policy wants", () => {
    const arrivals = fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 1, max: 60 })), {
      minLength: 1,
      maxLength: 40,
    });
    const wishes = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        arrivals,
        wishes,
        fc.integer({ min: 1, max: 3 }),
        fc.nat(60),
        fc.boolean(),
        (pairs, wished, slots, seed, isLossy) => {
          const told = { arrived: 0, finished: 0, workS: 0 };
          let look = 0;
          const policy: Policy = {
            ...policyOf(({ waiting, running }) => {
              look += 1;
              return Math.max(wished[look % wished.length] ?? 0, waiting + running > 0 ? 1 : 0);
            }),
            arrived: () => (told.arrived += 1),
            finished: (_atS, workS) => {
              told.finished += 1;
              told.workS += workS;
            },
          };
          const requests = requestsOf(...pairs.toSorted(([a], [b]) => a - b));
          const machines = { ...kind, slots, lossPerHour: isLossy ? 30 : 0 };
          const { machineS } = simulate(requests, machines, { policy, everyS: 1 }, { seed });
          const workS = requests.workS.reduce((sum, work) => sum + work, 0);
          expect(told).toEqual({ arrived: pairs.length, finished: pairs.length, workS });
          expect(machineS * slots).toBeGreaterThanOrEqual(workS);
        },
      ),
    );
  });
});

it("gives the same result where it skips looks at which nothing can change", () => {
  const random = seededRandom(8);
  let nowS = 0;
  const requests = requestsOf(
    ...Array.from({ length: 200 }, (): [number, number] => {
      nowS += random() < 0.8 ? random() * 20 : random() * 9000;
      return [nowS, 1 + random() * 40];
    }),
  );
  for (const billingS of [1, 3600])
    for (const form of [
      { windowS: 0, looksAhead: false, keepsBusy: true },
      { windowS: 600, looksAhead: true, keepsBusy: false },
    ]) {
      const machines = { ...kind, bootS: 60, billingS };
      const knobs = { backlogS: 10, keepS: 1000, deviations: 0, dayShare: 0, holdS: 0, ...form };
      const skipping = new BacklogRule(knobs, machines, 20);
      const looking = new BacklogRule(knobs, machines, 20);
      looking.steadyUntilS = (atS) => atS;
      const [a, b] = [skipping, looking].map((policy) => simulate(requests, machines, { policy, everyS: 1 }));
      expect(a?.machineS).toBeCloseTo(b?.machineS ?? 0, 6);
      expect(a?.waitsS).toEqual(b?.waitsS);
    }
});
