import { describe, expect, it } from "vitest";
import { ArrivalsBefore } from "./arrivals-before.ts";
import { mostUseful, scoreOf } from "./replay.ts";
import type { Past } from "./replay.ts";
import { seededRandom } from "./simulation/random.ts";
import { simulate } from "./simulation/simulate.ts";

const kind = { bootS: 60, slots: 2, billingS: 60, lossPerHour: 0 };
const requests = { atS: Float64Array.from([0, 50, 64, 66, 300]), workS: Float64Array.from([5, 5, 5, 5, 5]) };

it("takes a slot for each that comes while one machine boots and works for all that can be useful", () => {
  expect(mostUseful(requests, kind)).toBe(2);
  expect(mostUseful(requests, { ...kind, slots: 1, bootS: 0 })).toBe(2);
});

it("replays knobs that would order without end with no more machines than that", () => {
  const endless = {
    ...{ usesPaidTime: true, arrived() {}, started() {}, finished() {}, booted() {} },
    ...{ machines: ({ ready, booting }: { ready: number; booting: number }) => ready + booting + 1, wakeAtS: () => 0 },
  };
  const most = mostUseful(requests, kind);
  expect(simulate(requests, kind, { policy: endless, everyS: 1 }, { most }).mostMachines).toBe(most);
  expect(simulate(requests, kind, { policy: endless, everyS: 1 }).mostMachines).toBeGreaterThan(100);
});

describe("a replay begins with what is there now", () => {
  const single = { bootS: 60, slots: 1, billingS: 1, lossPerHour: 0 };
  const form = { deviations: 0, looksAhead: false, keepsBusy: false, dayShare: 0, holdS: 0 };
  /** Of 1,000 that come `everyS` apart and take 4.5 s each. */
  const scoreWith = (everyS: number, startWith: number, knobs: { windowS: number; keepS: number }): number => {
    const atS = Float64Array.from({ length: 1000 }, (_, i) => i * everyS);
    const past: Past = {
      ...{ requests: { atS, workS: atS.map(() => 4.5) }, before: new ArrivalsBefore(atS), day: null, kind: single },
      ...{ meanWorkS: 4.5, startWith, most: 100, targetS: 1, lateShare: 0.05 },
    };
    return scoreOf({ ...form, backlogS: 1000, ...knobs }, past);
  };

  it("with its machines, which knobs that keep them long pay throughout", () => {
    expect(scoreWith(10, 3, { windowS: 0, keepS: 100_000 }) / 10_000).toBeCloseTo(3, 1);
  });

  it("with its load, for which a forecast has enough machines from the first look on", () => {
    const score = scoreWith(1, 5, { windowS: 600, keepS: 1 }) / 1000;
    expect(score).toBeGreaterThan(4.9);
    expect(score).toBeLessThan(5.2);
  });
});

describe("a replay that is cut short", () => {
  const random = seededRandom(3);
  let nowS = 1_790_000_000;
  const atS = Float64Array.from({ length: 200 }, () => (nowS += -Math.log(1 - random()) * 6));
  const workS = Float64Array.from(atS, () => -Math.log(1 - random()) * 20);
  const form = { windowS: 60, deviations: 0, looksAhead: false, keepsBusy: true, dayShare: 0, holdS: 0 };
  const knobs = [0, 5, 60, 400].flatMap((backlogS) => [10, 600].map((keepS) => ({ ...form, backlogS, keepS })));

  it.each([
    ["each paid by the second", 1, 1, 0],
    ["of two slots, paid by ten minutes", 2, 600, 0],
    ["lost ten times an hour", 2, 60, 10],
  ])("never would have been better, with machines %s", (_, slots, billingS, lossPerHour) => {
    const machines = { bootS: 60, slots, billingS, lossPerHour };
    const most = mostUseful({ atS, workS }, machines);
    const known = {
      requests: { atS, workS },
      before: new ArrivalsBefore(atS),
      day: null,
      kind: machines,
      meanWorkS: 20,
    };
    const past: Past = { ...known, startWith: 2, most, targetS: 10, lateShare: 0.05 };
    const scores = knobs.map((one) => scoreOf(one, past));
    let cut = 0;
    for (const mustBe of scores.map((score) => score * 1.001))
      for (const [index, score] of scores.entries()) {
        const said = scoreOf({ ...form, backlogS: 0, keepS: 0, ...knobs[index] }, past, mustBe);
        if (score < mustBe) expect(said).toBe(score);
        else expect(said).toBeGreaterThanOrEqual(mustBe);
        if (said === Infinity) cut += 1;
      }
    expect(cut).toBeGreaterThan(4);
  });
});
