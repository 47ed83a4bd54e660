import { expect, it } from "vitest";
import { mostUseful } from "./replay.ts";
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
