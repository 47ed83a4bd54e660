import { expect, test } from "vitest";
import { Pause } from "./pause.ts";

test("ends when its timer fires, though the clock says that it is too early, and begins anew", () => {
  const timers = new Map<number, () => void>();
  let count = 0;
  const clock = {
    nowMs: () => 0,
    after(_ms: number, run: () => void) {
      const number = (count += 1);
      timers.set(number, run);
      return () => void timers.delete(number);
    },
  };
  let ends = 0;
  const pause = new Pause(clock, 5000, () => (ends += 1));
  expect(pause.isOn).toBe(false);
  pause.begin();
  pause.begin();
  expect([pause.isOn, timers.size]).toEqual([true, 1]);
  for (const run of timers.values()) run();
  expect([pause.isOn, ends]).toEqual([false, 1]);
});
