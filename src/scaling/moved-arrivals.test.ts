import { expect, it } from "vitest";
import { seededRandom } from "./simulation/random.ts";
import { MovedArrivals } from "./moved-arrivals.ts";
import { RecentArrivals } from "./recent-arrivals.ts";

const HOUR_S = 3600;

/** Both versions' arrivals come `perSecond` in all; of those the version's `share`, by the time. */
function arrive(share: (atS: number) => number, { seconds = 2 * HOUR_S, perSecond = 2 } = {}) {
  const random = seededRandom(7);
  const moved = new MovedArrivals(HOUR_S, new Float64Array(), new Float64Array());
  const own = new RecentArrivals(HOUR_S);
  for (let atS = 0; atS < seconds; atS += 1 / perSecond) {
    if (random() >= share(atS)) moved.arrivedElsewhere(atS);
    else {
      moved.arrived(atS);
      own.arrived(atS);
    }
  }
  const rate = own.rate(seconds, 1);
  return { rate, likely: moved.likely(rate, seconds, 1) };
}

it("follows within two minutes what moved away, and what came", () => {
  const moves = HOUR_S + 120;
  const left = arrive((atS) => (atS < HOUR_S ? 1 : 0), { seconds: moves });
  expect(left.rate).toBeGreaterThan(1.8);
  expect(left.likely).toBeLessThan(0.05);
  const came = arrive((atS) => (atS < HOUR_S ? 0.02 : 1), { seconds: moves });
  expect(came.rate).toBeLessThan(0.2);
  expect(came.likely).toBeGreaterThan(1.5);
  expect(came.likely).toBeLessThanOrEqual(2);
});

it.each([0.05, 0.5, 0.95])("leaves a version its rate while its share stays at %f", (share) => {
  const { rate, likely } = arrive(() => share);
  expect(rate).toBeCloseTo(2 * share, 1);
  expect(likely).toBeCloseTo(rate, 1);
});

it("concludes nothing from a few", () => {
  const { rate, likely } = arrive((atS) => (atS < HOUR_S ? 1 : 0), { seconds: HOUR_S + 30, perSecond: 1 / 30 });
  expect(likely).toBe(rate);
});

it("is the rate while nothing came to any version", () => {
  const moved = new MovedArrivals(HOUR_S, new Float64Array(), new Float64Array());
  expect(moved.likely(0, 10, 1)).toBe(0);
});

it("knows what came before, in whichever version's order", () => {
  const times = Float64Array.from({ length: 3600 }, (_, atS) => atS);
  const moved = new MovedArrivals(HOUR_S, new Float64Array(), times);
  // A version that begins with the rate of the one before it, and has had one prediction.
  moved.arrived(3600);
  expect(moved.likely(1, 3600, 1)).toBeLessThan(0.1);
});
