import { expect, it } from "vitest";
import { steadyClock } from "./steady-clock.ts";

it("goes on from where it was when the clock is set back", () => {
  const clock = { now: 1_000_000 };
  const steady = steadyClock(() => clock.now);
  expect(steady()).toBe(1_000_000);
  clock.now -= 600_000;
  expect(steady()).toBe(1_000_000);
  clock.now += 50;
  expect(steady()).toBe(1_000_050);
  clock.now += 3_600_000;
  expect(steady()).toBe(4_600_050);
});

it("does not run away from a clock that trembles, and still never goes back", () => {
  const clock = { now: 1_000_000 };
  const steady = steadyClock(() => clock.now);
  let last = steady();
  for (let turn = 0; turn < 1000; turn += 1) {
    clock.now += turn % 2 === 0 ? -3 : 4;
    const now = steady();
    expect(now).toBeGreaterThanOrEqual(last);
    last = now;
  }
  expect(last - clock.now).toBeLessThanOrEqual(3);
});
