import { expect, test } from "vitest";
import { RunTimes } from "./run-times.ts";

/** Runs batches of the best size, each as long as `msOf` says; the sizes. */
function learn(times: RunTimes, msOf: (size: number) => number, limitMs: number, runs: number, bucket = 0): number[] {
  return Array.from({ length: runs }, () => {
    const size = times.bestSize(bucket, limitMs);
    times.ran(bucket, size, msOf(size));
    return size;
  });
}

test("doubles while more are served, up to the most", () => {
  const times = new RunTimes({ maxBatchSize: 24 });
  expect(learn(times, (size) => 10 + size, Infinity, 7)).toEqual([1, 2, 4, 8, 16, 24, 24]);
});

test("stays within the limit, and tries nothing that should be beyond it", () => {
  const times = new RunTimes({ maxBatchSize: 64 });
  const sizes = learn(times, (size) => 5 * size, 100, 100);
  expect(Math.max(...sizes)).toBe(16);
  expect(sizes.slice(5)).toEqual(Array.from({ length: 95 }, () => 16));
});

test("goes back when what was tried takes longer than was thought, and when runs get slower", () => {
  const times = new RunTimes({ maxBatchSize: 64 });
  learn(times, (size) => (size > 8 ? 500 : 10), 100, 20);
  expect(times.bestSize(0, 100)).toBe(8);
  for (let run = 0; run < 8; run += 1) times.ran(0, 8, 300);
  expect(times.bestSize(0, 100)).toBe(4);
});

test("keeps the smaller number where a larger one serves fewer, and tries the larger one again much later", () => {
  const times = new RunTimes({ maxBatchSize: 64 });
  const slow = (size: number): number => (size > 8 ? 40 * size : 5 * size);
  const sizes = learn(times, slow, Infinity, 600);
  expect(sizes.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 8, 8]);
  expect(sizes.filter((size) => size === 16)).toHaveLength(3);
});

test("knows the least time of each bucket, and forgets those that nothing comes for", () => {
  const times = new RunTimes({ maxBatchSize: 8 });
  expect(times.leastMs(0)).toBeNull();
  times.ran(0, 3, 50);
  times.ran(0, 8, 80);
  expect(times.leastMs(0)).toBeCloseTo(50.6);
  for (let run = 0; run < 300; run += 1) times.ran(0, 8, 80);
  expect(times.leastMs(0)).toBeCloseTo(80, 0);
  for (let bucket = 1; bucket <= 64; bucket += 1) times.ran(bucket, 1, 1);
  expect(times.leastMs(0)).toBeNull();
});
