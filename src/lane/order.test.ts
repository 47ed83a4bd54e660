import { expect, it } from "vitest";
import { nextPriority, noTurns, placeOf } from "./order.ts";
import type { LaneStats } from "./types.ts";

const stats: LaneStats = {
  heads: { high: 1, normal: 1, low: 1 },
  tails: { high: 1, normal: 1, low: 1 },
  released: 0,
  window: 16,
  ratePerSecond: 2,
  pools: 1,
};

it("lets priorities pass by weight, and none starve", () => {
  const turns = noTurns();
  const picked = Array.from({ length: 100 }, () => nextPriority(turns, { high: 9, normal: 9, low: 9 }));
  expect(picked.filter((one) => one === "high")).toHaveLength(60);
  expect(picked.filter((one) => one === "normal")).toHaveLength(30);
  expect(picked.filter((one) => one === "low")).toHaveLength(10);
  expect(picked.slice(0, 10)).toContain("low");
});

it("gives the whole lane to the only priority that waits", () => {
  const turns = noTurns();
  expect(nextPriority(turns, { high: 0, normal: 0, low: 1 })).toBe("low");
  expect(nextPriority(turns, { high: 0, normal: 0, low: 0 })).toBeNull();
});

it("tells a place that is what really leaves before it", () => {
  const waiting = { high: 7, normal: 20, low: 5 };
  const now: LaneStats = { ...stats, tails: { high: 8, normal: 21, low: 6 }, released: 3 };
  const left = { ...waiting };
  const turns = noTurns();
  const order: string[] = [];
  const given = { high: 0, normal: 0, low: 0 };
  for (let next = nextPriority(turns, left); next !== null; next = nextPriority(turns, left)) {
    left[next] -= 1;
    given[next] += 1;
    order.push(`${next} ${given[next]}`);
  }
  for (const ticket of [1, 3, 6, 12, 20]) {
    const told = placeOf(ticket, "normal", now).position;
    const real = 3 + order.indexOf(`normal ${ticket}`);
    expect(Math.abs(told - real), `ticket ${ticket}: told ${told}, is ${real}`).toBeLessThanOrEqual(3);
  }
});

it("estimates from the measured rate, and says nothing while nobody serves the lane", () => {
  const busy: LaneStats = { ...stats, tails: { high: 1, normal: 11, low: 1 } };
  expect(placeOf(5, "normal", busy)).toEqual({ position: 4, etaMs: 2500 });
  expect(placeOf(5, "normal", { ...busy, pools: 0 }).etaMs).toBeNull();
  expect(placeOf(5, "normal", { ...busy, ratePerSecond: null }).etaMs).toBeNull();
  expect(placeOf(null, "normal", { ...busy, released: 4 }).position).toBe(3);
});
