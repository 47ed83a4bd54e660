import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { startStopwatch, watchStalls } from "../stalls.ts";
import { threadCpuMs } from "./thread-time.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** The machine runs nothing for so long: no timer calls meanwhile. */
const standStill = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

it("measures the time that passes, without what the machine stood still for", () => {
  using watch = startStopwatch();
  vi.advanceTimersByTime(300);
  expect(watch.ms()).toBe(300);
  standStill(2000);
  expect(watch.ms()).toBeLessThanOrEqual(320);
  vi.advanceTimersByTime(500);
  expect(watch.ms()).toBeLessThanOrEqual(820);
  expect(watch.ms()).toBeGreaterThanOrEqual(780);
});

it("takes a stall off once for each process that the time goes through", () => {
  using watch = startStopwatch(3);
  vi.advanceTimersByTime(1000);
  standStill(200);
  expect(watch.ms()).toBeGreaterThanOrEqual(600);
  expect(watch.ms()).toBeLessThanOrEqual(660);
});

it("tells what of a stall lies between two times, and the longest one", () => {
  using stalls = watchStalls();
  const beganAt = Date.now();
  vi.advanceTimersByTime(100);
  standStill(1000);
  vi.advanceTimersByTime(100);
  standStill(400);
  vi.advanceTimersByTime(100);
  expect(stalls.within(beganAt, beganAt + 100)).toBe(0);
  expect(stalls.within(beganAt + 500, beganAt + 700)).toBe(200);
  const all = stalls.within(beganAt, Date.now());
  expect(all).toBeGreaterThan(1350);
  expect(all).toBeLessThanOrEqual(1400);
  expect(stalls.longestMs()).toBeGreaterThan(970);
  expect(stalls.longestMs()).toBeLessThanOrEqual(1000);
});

it("counts no clock's usual lateness", () => {
  using stalls = watchStalls();
  const beganAt = Date.now();
  for (let times = 0; times < 10; times += 1) {
    vi.advanceTimersByTime(20);
    standStill(8);
  }
  expect(stalls.within(beganAt, Date.now())).toBe(0);
});

it("counts nothing that this thread computed meanwhile", () => {
  using watch = startStopwatch(3);
  const doneAtMs = threadCpuMs() + 300;
  while (threadCpuMs() < doneAtMs);
  standStill(300);
  expect(watch.ms()).toBe(300);
  standStill(1000);
  expect(watch.ms()).toBeLessThan(300);
});
