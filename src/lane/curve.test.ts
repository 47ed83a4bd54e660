import fc from "fast-check";
import { expect, it } from "vitest";
import { curveOf } from "./curve.ts";

const due = fc.record({
  tag: fc.integer({ min: 0, max: 10_000 }),
  step: fc.integer({ min: 1, max: 500 }),
  backlog: fc.integer({ min: 1, max: 400 }),
});

/** How many entries are due before `at`, one by one. */
function countBefore(at: number, flows: readonly { tag: number; step: number; backlog: number }[]): number {
  return flows
    .flatMap(({ tag, step, backlog }) => Array.from({ length: backlog }, (_, index) => tag + index * step))
    .filter((time) => time < at).length;
}

it("tells in 32 points at most how many are due before a time: each its own count, and all at the end", () => {
  fc.assert(
    fc.property(fc.array(due, { minLength: 1, maxLength: 12 }), (flows) => {
      const curve = curveOf(flows);
      const total = flows.reduce((sum, { backlog }) => sum + backlog, 0);
      expect(curve.length).toBeLessThanOrEqual(32);
      expect(curve[0]).toEqual([Math.min(...flows.map(({ tag }) => tag)), 0]);
      expect(curve.at(-1)?.[1]).toBe(total);
      const last = Math.max(...flows.map(({ tag, step, backlog }) => tag + (backlog - 1) * step));
      expect(curve.at(-1)?.[0]).toBeCloseTo(last, 3);
      for (const [at, count] of curve) expect(count).toBe(countBefore(at, flows));
      for (const [index, [at, count]] of curve.entries()) {
        const [nextAt, next] = curve[index + 1] ?? [Infinity, Infinity];
        expect(nextAt).toBeGreaterThan(at);
        expect(next).toBeGreaterThan(count);
      }
    }),
    { numRuns: 100, seed: 20_261_128 },
  );
});

it("tells the first six one by one, and then steps that grow by a sixth", () => {
  const counts = curveOf([{ tag: 100, step: 10, backlog: 60 }]).map(([, count]) => count);
  expect(counts.slice(0, 12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(counts.at(-1)).toBe(60);
  const growth = counts.slice(13, -1).map((count, index) => count / (counts[index + 12] ?? 1));
  for (const factor of growth) expect(factor).toBeLessThan(1.25);
});

it("takes what is due all at once for one point, and nobody for none", () => {
  expect(curveOf([])).toEqual([]);
  expect(curveOf([{ tag: 5, step: 1, backlog: 0 }])).toEqual([]);
  expect(curveOf([{ tag: 5, step: 0, backlog: 9 }])).toEqual([
    [5, 0],
    [expect.closeTo(5, 3), 9],
  ]);
});

it("spreads its points over ten thousand so that none is more than half as far again as the one before", () => {
  const counts = curveOf([{ tag: 0, step: 1, backlog: 10_000 }]).map(([, count]) => count);
  expect(counts.slice(0, 7)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(counts.length).toBeGreaterThan(28);
  for (const [index, count] of counts.entries()) {
    const before = counts[index - 1] ?? 0;
    if (before >= 6) expect(count / before).toBeLessThan(1.5);
  }
});
