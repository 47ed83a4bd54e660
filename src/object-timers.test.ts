import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createObjectTimers } from "./object-timers.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("an object's timers", () => {
  test("each calls once, at its time, in their order, whatever the order in which they were set", () => {
    const timers = createObjectTimers();
    const beganAt = Date.now();
    const calls: [string, number][] = [];
    for (const [name, delayMs] of [
      ["long", 61_500],
      ["second", 20],
      ["first", 5],
      ["at once", -3],
    ] as const)
      timers.after(delayMs, () => calls.push([name, Date.now() - beganAt]));
    vi.advanceTimersByTime(120_000);
    expect(calls).toEqual([
      ["at once", 0],
      ["first", 5],
      ["second", 20],
      ["long", 61_500],
    ]);
  });

  test("what fell due while the object was busy is all called at once, in the order of its time", () => {
    const timers = createObjectTimers();
    const calls: number[] = [];
    for (const delayMs of [50, 20, 30, 20]) timers.after(delayMs, () => calls.push(delayMs));
    vi.setSystemTime(Date.now() + 100);
    vi.advanceTimersToNextTimer();
    expect(calls).toEqual([20, 20, 30, 50]);
  });

  test("one is hardly late where the clock is set back, and those that are set later come at their time", () => {
    const timers = createObjectTimers();
    const calls: string[] = [];
    timers.after(50, () => calls.push("before"));
    vi.advanceTimersByTime(10);
    vi.setSystemTime(Date.now() - 600_000);
    timers.after(100, () => calls.push("behind"));
    vi.advanceTimersByTime(1000);
    expect(calls).toEqual(["before", "behind"]);
  });

  test("one that is given up never calls, given up by another that is due with it or not", () => {
    const timers = createObjectTimers();
    const call = vi.fn<() => void>();
    const giveUp = timers.after(50, call);
    timers.after(30, giveUp);
    let giveUpLater = () => {};
    timers.after(60, () => giveUpLater());
    giveUpLater = timers.after(60, call);
    vi.advanceTimersByTime(10_000);
    expect(call).not.toHaveBeenCalled();
  });

  test("one that throws is logged, and the others are called", () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const timers = createObjectTimers();
    const call = vi.fn<() => void>();
    timers.after(10, () => {
      throw new Error("no");
    });
    timers.after(10, call);
    vi.advanceTimersByTime(10);
    expect(call).toHaveBeenCalledOnce();
    expect(logged).toHaveBeenCalledWith(expect.stringContaining("timer_failed"));
  });

  test("a thousand that are given up need a few of the runtime's timers, none of which is cleared or outlives a second", () => {
    const [set, cleared] = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "clearTimeout")];
    const timers = createObjectTimers();
    for (let index = 0; index < 1000; index += 1) {
      const giveUp = timers.after(60_000, () => {});
      vi.advanceTimersByTime(1);
      giveUp();
    }
    expect(set.mock.calls.length).toBeLessThanOrEqual(3);
    expect(cleared).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
