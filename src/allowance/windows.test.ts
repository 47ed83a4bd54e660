import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FOREVER_MS } from "../../plugins/kernel/allowance.ts";
import type { WindowSpec } from "./types.ts";
import { fitsInMs, giveBack, newCounter, roll, roomOf } from "./windows.ts";
import type { Counter } from "./windows.ts";

const START = 1_800_000_000_000;
const specs: WindowSpec[] = [
  { algorithm: "fixed-window", limit: 10, windowMs: 60_000 },
  { algorithm: "sliding-window", limit: 10, windowMs: 60_000 },
  { algorithm: "token-bucket", limit: 10, windowMs: 60_000, refill: 10 },
];

/** Uses what fits of `amount` at `now`. */
function use(counter: Counter, spec: WindowSpec, amount: number, now: number): boolean {
  roll(counter, spec, now);
  if (fitsInMs(counter, spec, amount, now) !== 0) return false;
  counter.used += amount;
  return true;
}

const room = (counter: Counter, spec: WindowSpec, now: number) => {
  roll(counter, spec, now);
  return roomOf(counter, spec, now);
};

describe.each(specs)("a $algorithm", (spec) => {
  it("lets its limit through, and no more", () => {
    const counter = newCounter(spec, START);
    const passed = Array.from({ length: 20 }, () => use(counter, spec, 1, START));
    expect(passed.filter(Boolean)).toHaveLength(10);
  });

  it("says when an amount fits: then it does, and not before", () => {
    const uses = fc.array(fc.record({ afterMs: fc.nat(40_000), amount: fc.integer({ min: 1, max: 10 }) }), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(uses, fc.integer({ min: 1, max: 10 }), (steps, need) => {
        const counter = newCounter(spec, START);
        let now = START;
        for (const { afterMs, amount } of steps) {
          now += afterMs;
          use(counter, spec, amount, now);
        }
        roll(counter, spec, now);
        const inMs = fitsInMs(counter, spec, need, now);
        if (inMs === null || inMs === 0) return inMs === 0;
        const [early, late] = [{ ...counter }, { ...counter }];
        return !use(early, spec, need, now + inMs - 2) && use(late, spec, need, now + Math.ceil(inMs) + 1);
      }),
    );
  });

  it("grants nothing for a clock that goes back", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10 * 60_000), { maxLength: 20 }), (jumpsBack) => {
        const counter = newCounter(spec, START);
        for (let count = 0; count < 10; count += 1) use(counter, spec, 1, START);
        let now = START;
        return jumpsBack.every((jump) => !use(counter, spec, 1, (now -= jump)));
      }),
    );
  });

  it("recovers from a clock that was far ahead within two windows", () => {
    const counter = newCounter(spec, START);
    use(counter, spec, 10, START + 86_400_000);
    use(counter, spec, 1, START);
    expect(room(counter, spec, START + 121_000)).toBe(10);
  });

  it("knows limits of 0 and 10^12", () => {
    const closed = { ...spec, limit: 0 };
    expect(fitsInMs(newCounter(closed, START), closed, 1, START)).toBeNull();
    const wide: WindowSpec = { ...spec, limit: 1e12 };
    const counter = newCounter(wide, START);
    expect(use(counter, wide, 1e12 - 1, START)).toBe(true);
    expect([use(counter, wide, 1, START), use(counter, wide, 1, START)]).toEqual([true, false]);
  });

  it("takes back what was not used, once its time is not over", () => {
    const counter = newCounter(spec, START);
    use(counter, spec, 8, START);
    giveBack(counter, spec, counter.at, 3, START);
    expect(room(counter, spec, START)).toBe(5);
    roll(counter, spec, START + 180_000);
    giveBack(counter, spec, START, 5, START + 180_000);
    expect(room(counter, spec, START + 180_000)).toBe(10);
  });

  it("charges more than was reserved, and lets nothing through until that is made up for", () => {
    const counter = newCounter(spec, START);
    use(counter, spec, 1, START);
    giveBack(counter, spec, counter.at, -14, START);
    expect(room(counter, spec, START)).toBe(-5);
    expect(use(counter, spec, 1, START + 1000)).toBe(false);
  });
});

it("has windows that never end", () => {
  const spec: WindowSpec = { algorithm: "fixed-window", limit: 10, windowMs: FOREVER_MS };
  const counter = newCounter(spec, START);
  use(counter, spec, 10, START);
  expect(use(counter, spec, 1, START + 100 * 365 * 86_400_000)).toBe(false);
  giveBack(counter, spec, 0, 10, START);
  expect(room(counter, spec, START)).toBe(10);
});

it("counts the share of the window before that a sliding window still covers", () => {
  const spec: WindowSpec = { algorithm: "sliding-window", limit: 10, windowMs: 60_000 };
  const start = Math.floor(START / 60_000) * 60_000;
  const counter = newCounter(spec, start);
  use(counter, spec, 10, start + 59_000);
  expect(room(counter, spec, start + 60_000)).toBe(0);
  expect(room(counter, spec, start + 90_000)).toBe(5);
  expect(fitsInMs(counter, spec, 6, start + 90_000)).toBe(6000);
});

it("gives a token bucket no token twice: neither by its refill nor by what comes back late", () => {
  const spec: WindowSpec = { algorithm: "token-bucket", limit: 10, windowMs: 10_000, refill: 10 };
  const counter = newCounter(spec, START);
  use(counter, spec, 10, START);
  expect(use(counter, spec, 10, START + 10_000)).toBe(true);
  giveBack(counter, spec, START, 10, START + 10_000);
  expect(room(counter, spec, START + 10_000)).toBe(0);
});
