import { expect, it } from "vitest";
import { memorySql } from "../../../test/unit/memory-sql.ts";
import { offer, World } from "../../../test/unit/scaling/world.ts";
import { ScalerStore } from "./rows.ts";
import { SpotLosses } from "./spot-losses.ts";

const HOUR_MS = 3_600_000;
const spotIn = (zone: string, pricePerHourNano: number) =>
  offer(`spot-${zone}`, { spot: true, zone, pricePerHourNano });

it("expects 0.1 losses an hour until more is known, learns by offer and zone, and forgets by half a day after day", () => {
  const store = new ScalerStore(memorySql());
  const losses = new SpotLosses(store);
  const at = (zone: string) => [{ ...spotIn(zone, 1), provider: "fake" }];
  expect(losses.perHour(at("a"), 0)).toBeCloseTo(0.1);
  expect(losses.perHour([], 0)).toBeCloseTo(0.1);
  const world = new World({ classes: { cpu: { spot: true } } });
  const rented = world.core.book.want({ ...spotIn("a", 1), provider: "fake" }, "", null);
  for (let n = 1; n <= 5; n += 1) {
    losses.lost(rented, n * HOUR_MS);
    losses.wasThere({ ...rented, seenAtMs: (n - 1) * HOUR_MS }, n * HOUR_MS);
  }
  expect(losses.perHour(at("a"), 5 * HOUR_MS)).toBeGreaterThan(0.5);
  expect(losses.perHour(at("b"), 5 * HOUR_MS)).toBeCloseTo(0.1);
  expect(losses.lostAtMs("fake", "a")).toBe(5 * HOUR_MS);
  expect(losses.lostAtMs("other", "a")).toBeNull();
  const again = new SpotLosses(store);
  expect(again.perHour(at("a"), 5 * HOUR_MS)).toBe(losses.perHour(at("a"), 5 * HOUR_MS));
  expect(again.perHour(at("a"), 30 * 24 * HOUR_MS)).toBeCloseTo(0.1);
});

it("counts hours without a loss for an offer", () => {
  const losses = new SpotLosses(new ScalerStore(memorySql()));
  const world = new World();
  const rented = world.core.book.want({ ...spotIn("a", 1), provider: "fake" }, "", null);
  losses.wasThere({ ...rented, seenAtMs: 0 }, 20 * HOUR_MS);
  expect(losses.perHour([{ ...spotIn("a", 1), provider: "fake" }], 20 * HOUR_MS)).toBeCloseTo(0.02);
});

it("leaves a zone alone for half an hour in which a spot machine was taken away, though it is the cheapest", () => {
  const world = new World({ classes: { cpu: { spot: true, max: 40 } } });
  world.offers = [spotIn("a", 1e8), spotIn("b", 1.1e8), spotIn("c", 1.2e8), offer("sure", { pricePerHourNano: 1e9 })];
  const zones = () => world.core.book.all().flatMap(({ isSpot, zone }) => (isSpot ? [zone] : []));
  world.arrive("local/echo", 1, 100);
  world.run(30);
  expect(zones()).toContain("a");
  world.faults.vanishAfterS = (id) => (id === "spot-a" ? 0 : Infinity);
  world.run(30);
  world.faults = {};
  expect(world.core.losses.lostAtMs("fake", "a")).not.toBeNull();
  world.arrive("local/echo", 100, 100);
  world.run(10);
  expect(zones()).toContain("b");
  expect(zones()).toContain("c");
  expect(zones()).not.toContain("a");
});
