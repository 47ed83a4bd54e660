/** Whatever happens on a host, the parts of each device add up to its time, and each is what its cost says. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeviceLedger } from "./device-ledger.ts";
import type { Attempt, Residence } from "./device-ledger.ts";
import { divide } from "./divide.ts";
import { turnClock } from "./ledger-clock.ts";

const DEVICES = ["0", "1", "2"];

/** Exact shares, second by second: what the ledger must come to but for rounding. */
class Oracle {
  readonly shares = new Map<object, number>();
  readonly busyUs = new Map<string, number>();
  readonly running = new Map<object, { devices: string[]; cost: number }>();
  readonly residents = new Map<object, string[]>();

  pass(us: number): void {
    for (const device of DEVICES) {
      const running = [...this.running].filter(([, { devices }]) => devices.includes(device));
      const costs = running.reduce((sum, [, { cost }]) => sum + cost, 0);
      for (const [holding, { cost }] of running) this.#add(holding, (us * cost) / costs);
      if (running.length > 0) this.busyUs.set(device, (this.busyUs.get(device) ?? 0) + us);
      const residents = [...this.residents].filter(([, devices]) => devices.includes(device));
      if (running.length === 0) for (const [holding] of residents) this.#add(holding, us / residents.length);
    }
  }

  #add(holding: object, us: number): void {
    this.shares.set(holding, (this.shares.get(holding) ?? 0) + us);
  }
}

type Step = { us: number; what: "begin" | "end" | "reside" | "leave"; which: number; devices: string[]; cost: number };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    us: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(5_000_000)),
    what: fc.constantFrom("begin" as const, "begin" as const, "end" as const, "reside" as const, "leave" as const),
    which: fc.nat(50),
    devices: fc.subarray(DEVICES, { minLength: 1 }),
    cost: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1000 }), fc.double({ min: 0.001, max: 100, noNaN: true })),
  }),
  { maxLength: 60 },
);

function replay(sequence: readonly Step[]) {
  const ledger = new DeviceLedger();
  const oracle = new Oracle();
  const attempts: Attempt[] = [];
  const residences: Residence[] = [];
  const over = new Map<object, number>();
  let now = 1000;
  let isWhole = true;
  ledger.here(DEVICES, now);
  for (const { us, what, which, devices, cost } of sequence) {
    now += us;
    oracle.pass(us);
    if (what === "begin") {
      const attempt = ledger.begin(devices, cost, now);
      attempts.push(attempt);
      oracle.running.set(attempt, { devices, cost });
    } else if (what === "reside") {
      const residence = ledger.reside(devices, now);
      residences.push(residence);
      oracle.residents.set(residence, devices);
    } else {
      const list = what === "end" ? attempts : residences;
      const [one] = list.splice(which % Math.max(1, list.length), 1);
      if (one === undefined) continue;
      over.set(one, what === "end" ? ledger.end(one, now) : ledger.leave(one, now));
      oracle.running.delete(one);
      oracle.residents.delete(one);
    }
  }
  now += 1_000_003;
  oracle.pass(1_000_003);
  for (const one of [...attempts, ...residences]) over.set(one, ledger.of(one, now));
  for (const us of over.values()) isWhole &&= Number.isInteger(us) && us >= 0;
  return { ledger, oracle, over, now, isWhole, left: { attempts, residences } };
}

describe("a host", () => {
  it("has all its devices' time in whole microseconds, each in one part", () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const { ledger, oracle, over, now, isWhole } = replay(sequence);
        const totals = [...ledger.totals(now).values()];
        for (const { busyUs, residentUs, unusedUs } of totals) expect(busyUs + residentUs + unusedUs).toBe(now - 1000);
        for (const [device, { busyUs }] of ledger.totals(now)) expect(busyUs).toBe(oracle.busyUs.get(device) ?? 0);
        const told = [...over.values()].reduce((sum, us) => sum + us, 0);
        expect(told).toBe(totals.reduce((sum, { busyUs, residentUs }) => sum + busyUs + residentUs, 0));
        expect(isWhole).toBe(true);
      }),
      { numRuns: 300, seed: 15 },
    );
  });

  it("gives each its share by cost, but for a microsecond or two on each device", () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const { oracle, over } = replay(sequence);
        for (const [holding, us] of over)
          expect(Math.abs(us - (oracle.shares.get(holding) ?? 0))).toBeLessThan(3 * DEVICES.length);
      }),
      { numRuns: 300, seed: 16 },
    );
  });
});

it("gives the largest remainders what rounding leaves, and makes up for it the next time", () => {
  const holders = [1, 3, 5].map((weight) => ({ weight, us: 0, owedUs: 0 }));
  divide(10, holders);
  // 1.11, 3.33 and 5.56
  expect(holders.map(({ us }) => us)).toEqual([1, 3, 6]);
  for (let times = 0; times < 8; times += 1) divide(10, holders);
  expect(holders.map(({ us }) => us)).toEqual([10, 30, 50]);
});

it("leaves to the others what one that ends is owed", () => {
  const others = [0.25, -0.75].map((owedUs) => ({ weight: 1, us: 0, owedUs }));
  divide(0, others, 0.5);
  expect(others.map(({ owedUs }) => owedUs)).toEqual([0.5, -0.5]);
});

it("divides in no time what costs nothing, or more than can be", () => {
  const ledger = new DeviceLedger();
  const [free, dear] = [ledger.begin(["0"], 0, 0), ledger.begin(["0"], Number.MAX_VALUE, 0)];
  expect(ledger.end(free, 3_600_000_000) + ledger.end(dear, 3_600_000_000)).toBe(3_600_000_000);
  const [one, another] = [ledger.begin(["0"], 0, 3_600_000_000), ledger.begin(["0"], 0, 3_600_000_000)];
  expect([ledger.end(one, 3_600_000_010), ledger.end(another, 3_600_000_010)]).toEqual([5, 5]);
});

it("tells all of a turn of the event loop at one time", async () => {
  let now = 0;
  const clock = turnClock({ nowMs: () => (now += 1), after: () => () => {} });
  expect([clock.nowMs(), clock.nowMs()]).toEqual([1, 1]);
  await new Promise((resolve) => setImmediate(resolve));
  expect([clock.nowMs(), clock.nowMs()]).toEqual([2, 2]);
});

it("takes no time that a clock goes back", () => {
  const ledger = new DeviceLedger();
  const attempt = ledger.begin(["0"], 1, 1000);
  expect(ledger.of(attempt, 500)).toBe(0);
  expect(ledger.end(attempt, 1500)).toBe(500);
});
