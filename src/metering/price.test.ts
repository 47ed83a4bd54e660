import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { amountOf, MAX_NANO } from "../contract/price.ts";
import { costOf, isFree, rateOf } from "./price.ts";
import type { Price } from "./price.ts";

const free: Price = { id: "p", currency: "USD", perSecond: {}, perUnit: {}, perRequest: 0, minimum: 0 };
const used = { device: "a100", gpuUs: 0, billed: true };
const nano = fc.integer({ min: 0, max: 1e12 });

describe("the cost of an attempt", () => {
  it.each([
    ["a second of its device", { perSecond: { a100: 500 } }, { gpuUs: 1_000_000 }, 500],
    ["half a nano-unit, rounded up", { perSecond: { a100: 1 } }, { gpuUs: 500_000 }, 1],
    ["less than half, rounded down", { perSecond: { a100: 1 } }, { gpuUs: 499_999 }, 0],
    ["another device by `*`", { perSecond: { h100: 9, "*": 4 } }, { gpuUs: 1_000_000 }, 4],
    ["a device that has no price", { perSecond: { h100: 9 } }, { gpuUs: 1_000_000 }, 0],
    ["units", { perUnit: { output_token_count: 3 } }, { units: { output_token_count: 7, other: 5 } }, 21],
    ["broken units", { perUnit: { seconds: 10 } }, { units: { seconds: 1.25 } }, 13],
    [
      "all of them, as docs/usage.md reckons",
      { perSecond: { a100: 1_100_000, "*": 20_000 }, perUnit: { tokens: 600 }, perRequest: 50_000, minimum: 100_000 },
      { gpuUs: 1_250_000, units: { tokens: 400 } },
      1_665_000,
    ],
    ["a request", { perRequest: 77 }, {}, 77],
    ["the minimum", { perRequest: 77, minimum: 100 }, {}, 100],
    ["nothing where it isn't billed", { perRequest: 77, minimum: 100 }, { billed: false }, 0],
    ["no more than the largest amount", { perUnit: { n: 1e15 } }, { units: { n: 1e300 } }, MAX_NANO],
    ["more units than can be counted", { perUnit: { n: 1 } }, { units: { n: Number.MAX_VALUE } }, MAX_NANO],
    ["nothing for numbers that are none", { perUnit: { n: 5 } }, { units: { n: Number.NaN }, gpuUs: -7 }, 0],
    ["nothing for a unit of every object", { perUnit: { constructor: 5 } }, { units: {} }, 0],
  ] satisfies [string, Partial<Price>, Partial<typeof used> & { units?: Record<string, number> }, number][])(
    "is that of %s",
    (_what, price, more, cost) => {
      expect(costOf({ ...free, ...price }, { ...used, ...more })).toBe(cost);
    },
  );

  it("is rounded once: it is the exact sum of its parts to half a nano-unit", () => {
    fc.assert(
      fc.property(nano, nano, nano, fc.nat(1e12), fc.nat(1e6), (rate, unit, request, gpuUs, count) => {
        const price = { ...free, perSecond: { "*": rate }, perUnit: { n: unit }, perRequest: request };
        const exact = BigInt(rate) * BigInt(gpuUs) + (BigInt(unit) * BigInt(count) + BigInt(request)) * 1_000_000n;
        const cost = costOf(price, { ...used, gpuUs, units: { n: count } });
        fc.pre(exact < BigInt(MAX_NANO) * 1_000_000n);
        const off = BigInt(cost) * 1_000_000n - exact;
        expect(off > -500_000n && off <= 500_000n).toBe(true);
      }),
    );
  });

  it("never falls as more is used, and is never negative", () => {
    fc.assert(
      fc.property(nano, nano, fc.nat(1e9), fc.nat(1e9), (rate, minimum, gpuUs, more) => {
        const price = { ...free, perSecond: { "*": rate }, minimum };
        const [less, all] = [costOf(price, { ...used, gpuUs }), costOf(price, { ...used, gpuUs: gpuUs + more })];
        expect(less >= minimum && all >= less && Number.isSafeInteger(all)).toBe(true);
      }),
    );
  });

  it("is free where nothing is asked", () => {
    expect([isFree(free), isFree({ ...free, perUnit: { n: 0 } }), isFree({ ...free, minimum: 1 })]).toEqual([
      ...[true, true, false],
    ]);
    expect(rateOf({ perSecond: { a: 1, "*": 2 } }, "toString")).toBe(2);
  });

  it.each([
    [0, "0.000000000"],
    [1, "0.000000001"],
    [1_250_000, "0.001250000"],
    [12_000_000_001, "12.000000001"],
    [-5, "-0.000000005"],
  ])("is written as an amount: %i is %s", (value, text) => {
    expect(amountOf(value)).toBe(text);
  });
});
