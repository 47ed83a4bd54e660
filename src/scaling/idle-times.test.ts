/** What idle times and the time of the day say about keeping a machine, and having one in time. */
import { describe, expect, it } from "vitest";
import { BacklogRule } from "./backlog-rule.ts";
import { DayProfile } from "./day-profile.ts";
import { keepTimesS } from "./idle-times.ts";

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
/** Every ten minutes from nine to twelve, on so many days. */
const mornings = (days: number): Float64Array =>
  Float64Array.from({ length: days * 18 }, (_, i) => Math.floor(i / 18) * DAY_S + 9 * HOUR_S + (i % 18) * 600);

describe("keepTimesS", () => {
  it("proposes to stay for shares of all idle times", () => {
    expect(keepTimesS(mornings(10))).toEqual([600, 600, 600, DAY_S - 17 * 600, DAY_S - 17 * 600]);
    expect(keepTimesS(Float64Array.of(1))).toEqual([]);
  });
});

describe("DayProfile", () => {
  it("needs seven days", () => {
    expect(DayProfile.of(mornings(7))).toBeNull();
    expect(DayProfile.of(mornings(9))).not.toBeNull();
  });

  it("knows the hours at which something came, and when they begin", () => {
    const day = DayProfile.of(mornings(9));
    const today = 30 * DAY_S;
    expect(day?.isBusy(today + 10 * HOUR_S, 0.9)).toBe(true);
    expect(day?.isBusy(today + 13 * HOUR_S, 0.1)).toBe(false);
    expect(day?.nextBusyS(today + 13 * HOUR_S, 0.9)).toBe(today + DAY_S + 9 * HOUR_S);
    expect(day?.nextBusyS(today, 2)).toBe(Infinity);
  });

  it.each([0, 100])("has a machine booted when they begin, and lets it go when they are over: hold %i s", (holdS) => {
    const knobs = {
      backlogS: 1,
      keepS: 10,
      windowS: 0,
      deviations: 0,
      looksAhead: false,
      keepsBusy: true,
      dayShare: 0.9,
      holdS,
    };
    const rule = new BacklogRule(knobs, { slots: 1, bootS: 60 }, 1, DayProfile.of(mornings(9)));
    const today = 30 * DAY_S;
    const none = { waiting: 0, oldestWaitS: 0, running: 0, ready: 0, booting: 0 };
    expect(rule.wakeAtS(today)).toBe(today + 9 * HOUR_S - 60);
    expect(rule.machines({ ...none, nowS: today + 9 * HOUR_S - 61 })).toBe(0);
    expect(rule.machines({ ...none, nowS: today + 9 * HOUR_S - 60 })).toBe(1);
    expect(rule.machines({ ...none, nowS: today + 12.5 * HOUR_S, ready: 1 })).toBe(0);
  });
});
