import fc from "fast-check";
import { expect, test } from "vitest";
import { BatchLimits } from "./batch-limits.ts";
import { powersOfTwo } from "./buckets.ts";
import { MemoryByCost } from "./memory-by-cost.ts";

function after(...runs: readonly (readonly [cost: number, bytes: number])[]): MemoryByCost {
  const memory = new MemoryByCost();
  for (const [cost, bytes] of runs) memory.ran(cost, bytes);
  return memory;
}

test("bounds nothing while nothing is known", () => {
  expect(after().costWithin(0)).toBe(Infinity);
  expect(after([Infinity, 5], [0, 5]).costWithin(0)).toBe(Infinity);
});

test("tries twice what was seen, and then goes by the line", () => {
  expect(after([4, 100]).costWithin(1000)).toBe(8);
  // 60 for the call and 10 for each: 94 more would fit, by a tenth less as nobody ran that many.
  expect(after([4, 100], [8, 140]).costWithin(1080)).toBeCloseTo(8 + 94 / 1.1);
  expect(after([4, 100], [8, 100]).costWithin(100)).toBe(Infinity);
});

test("is a line between what ran, and nothing of several below the least", () => {
  const memory = after([1, 100], [32, 410]);
  expect(memory.costWithin(255)).toBeCloseTo(16.5);
  expect(memory.costWithin(99)).toBe(0);
  expect(memory.points).toEqual([
    { cost: 1, bytes: 100 },
    { cost: 32, bytes: 410 },
  ]);
});

test("keeps the most that like batches took, and forgets it when none takes so much any more", () => {
  const memory = after([7, 700], [8, 80]);
  expect(memory.points).toEqual([{ cost: 7, bytes: 700 }]);
  for (let run = 0; run < 600; run += 1) memory.ran(8, 80);
  expect(memory.points).toEqual([{ cost: 8, bytes: 80 }]);
});

test("whatever memory grows like, a batch that it lets go is within what is left, or at most twice what ran before", () => {
  const runs = fc.array(fc.integer({ min: 1, max: 4096 }), { minLength: 2, maxLength: 40 });
  fc.assert(
    fc.property(runs, fc.nat(100), fc.integer({ min: 1, max: 50 }), fc.nat(300_000), (costs, call, each, left) => {
      const taken = (cost: number): number => call + each * cost;
      const memory = after(...costs.map((cost) => [cost, taken(cost)] as const));
      const most = memory.costWithin(left);
      const largest = Math.max(...costs);
      // Of costs that are alike, the one that took most is known.
      const least = powersOfTwo.of(Math.min(...costs));
      const known = Math.max(...costs.filter((cost) => powersOfTwo.of(cost) === least));
      if (most === 0) expect(taken(known)).toBeGreaterThan(left - 1e-6);
      else if (most !== 2 * largest) expect(taken(most)).toBeLessThanOrEqual(left + 1e-6);
    }),
  );
});

test("a batch costs no more than fits where it goes", () => {
  const limits = new BatchLimits({ maxBatchSize: 64, maxQueueDelayMs: 0, maxBatchCost: 50 });
  limits.memoryByCost.ran(1, 10);
  limits.memoryByCost.ran(40, 400);
  limits.leaves(200);
  expect(limits.cost).toBeCloseTo(20);
  limits.leaves(Infinity);
  expect(limits.cost).toBe(50);
});
