import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryBound } from "./memory-bound.ts";

/** Runs full batches of unit cost on a device that takes `fits` of them; how many of the runs ran out. */
function serve(bound: MemoryBound, runs: number, fits: number, most = 64): number {
  let failures = 0;
  for (let run = 0; run < runs; run += 1) {
    const size = Math.max(1, Math.floor(Math.min(most, bound.limit)));
    if (size > fits) {
      failures += 1;
      bound.ranOut(size);
    } else bound.ran(size);
  }
  return failures;
}

test("halves what ran out, and grows back to what fits with few failures more", () => {
  const bound = new MemoryBound();
  expect(serve(bound, 1, 40)).toBe(1);
  expect(bound.limit).toBe(32);
  expect(serve(bound, 2000, 40)).toBeLessThanOrEqual(6);
  expect(bound.limit).toBeGreaterThan(20);
});

test("is free again when what failed fits", () => {
  const bound = new MemoryBound();
  serve(bound, 1, 40);
  serve(bound, 3000, 1000, 256);
  expect(bound.limit).toBe(Infinity);
});

test("is as before when one input alone was too large", () => {
  const bound = new MemoryBound();
  for (const cost of [64, 32, 16, 8, 4, 2]) bound.ranOut(cost);
  expect(bound.limit).toBe(1);
  bound.wasOneInput();
  expect(bound.limit).toBe(Infinity);
  bound.ranOut(64);
  serve(bound, 20, 60);
  const learned = bound.limit;
  bound.wasOneInput();
  expect(bound.limit).toBe(learned);
});

test("whatever happens, a batch of one always runs, and no bound lies below half of the least that ran out", () => {
  const event = fc.oneof(
    fc.record({ do: fc.constant("ranOut" as const), cost: fc.integer({ min: 2, max: 100 }) }),
    fc.record({ do: fc.constant("ran" as const), cost: fc.integer({ min: 1, max: 100 }) }),
    fc.record({ do: fc.constant("one" as const), cost: fc.constant(1) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const bound = new MemoryBound();
      let least = Infinity;
      for (const { do: what, cost } of events) {
        if (what === "one") bound.wasOneInput();
        else if (what === "ran") bound.ran(cost);
        else {
          least = Math.min(least, cost);
          bound.ranOut(cost);
          expect(bound.limit).toBeLessThanOrEqual(cost / 2);
        }
        expect(bound.limit).toBeGreaterThanOrEqual(least / 2);
      }
    }),
  );
});
