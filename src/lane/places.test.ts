import { describe, expect, it } from "vitest";
import { judgePlaces, placeCases, playPlaces } from "../../test/unit/lane-places.ts";
import { LaneSim } from "../../test/unit/lane-sim.ts";
import { curveOf } from "./curve.ts";
import { countBefore, etaOf, placeOf } from "./places.ts";
import type { ModelView } from "./types.ts";

const ref = { account: "a", priority: "normal", model: "m/m", version: "v" } as const;
const model: ModelView = {
  model: "m/m",
  version: "v",
  sessions: 1,
  waiting: { high: 0, normal: 0, low: 0 },
  curves: { high: [], normal: [], low: [] },
  tags: { high: 0, normal: 0, low: 0 },
  startsPerSecond: 2,
  inFlight: 4,
  room: 0,
  readyInMs: 0,
  runMs: 500,
};

describe("in simulated pools, without later arrivals", () => {
  it.each(placeCases.flatMap((one) => [one.seed, one.seed + 100].map((seed) => ({ ...one, seed }))))(
    "tells what comes: $name, seed $seed",
    (one) => {
      const told = playPlaces(one);
      expect(told).toHaveLength(200);
      const { inBounds, worst, etaError } = judgePlaces(told);
      expect(inBounds).toBeGreaterThanOrEqual(0.97);
      expect(worst).toBeLessThan(2);
      expect(etaError).toBeLessThanOrEqual(0.3);
    },
  );
});

it("never lets `own` rise, whoever comes, is canceled, or is handed on again", () => {
  const sim = new LaneSim();
  sim.addPool("one", 2, ["v"]);
  sim.run(10);
  const jobs = Array.from({ length: 120 }, (_, index) => ({
    id: `p${String(index).padStart(3, "0")}`,
    account: index % 3 === 0 ? "b" : "a",
    runMs: 300,
  }));
  sim.submit(jobs);
  const own = new Map<string, number>();
  for (let round = 0; round < 40; round += 1) {
    for (const { id } of jobs) {
      if (!sim.jobs.has(id)) continue;
      const { ahead } = sim.place(id);
      expect(ahead?.own ?? 0, `${id} in round ${round}`).toBeLessThanOrEqual(own.get(id) ?? Infinity);
      own.set(id, ahead?.own ?? 0);
    }
    sim.submit([{ id: `later${round}`, account: "a", runMs: 300 }]);
    if (round % 5 === 0) sim.cancel(`p${String(110 - round).padStart(3, "0")}`);
    if (round % 7 === 0) sim.offerAgain([...sim.jobs.keys()].slice(0, 5));
    sim.run(150);
  }
  expect(own.get("p119")).toBeLessThan(70);
});

it("keeps the place of what is handed on again", () => {
  const sim = new LaneSim();
  sim.submit(Array.from({ length: 50 }, (_, index) => ({ id: `p${index + 10}`, account: "a", runMs: 300 })));
  sim.addPool("full", 0, ["v"]);
  sim.run(10);
  const before = sim.place("p20");
  sim.offerAgain(["p20"]);
  sim.submit([{ id: "other", account: "b", runMs: 300 }]);
  expect(sim.place("p20").ahead?.own).toBe(10);
  expect(before.position).toBe(10);
});

it("counts what a pool hands back as ahead of those behind it", () => {
  const sim = new LaneSim();
  sim.submit(Array.from({ length: 60 }, (_, index) => ({ id: `p${index + 10}`, account: "a", runMs: 300 })));
  sim.addPool("full", 0, ["v"]);
  sim.run(10);
  sim.takeAndReturn("full", 20);
  const places = Array.from({ length: 60 }, (_, index) => sim.place(`p${index + 10}`));
  expect(places.map(({ ahead }) => ahead?.own)).toEqual(places.map((_, index) => index));
  for (const [index, { position }] of places.entries())
    expect(Math.abs((position ?? 0) - index)).toBeLessThanOrEqual(2);
});

it("tells no place of what nobody serves, and no time that nobody knows", () => {
  const nowhere = { position: null, etaMs: null, ahead: null };
  expect(placeOf(null, ref, { models: [], served: {} })).toEqual(nowhere);
  expect(placeOf(null, ref, { models: [{ ...model, sessions: 0 }], served: {} })).toEqual(nowhere);
  expect(etaOf(3, { ...model, startsPerSecond: null, inFlight: 0, readyInMs: null })).toBeNull();
});

it("adds what a cold instance needs, and what is ahead at the rate that is known", () => {
  expect(etaOf(0, { ...model, room: 1 })).toBe(0);
  expect(etaOf(3, model)).toBe(2000);
  expect(etaOf(3, { ...model, startsPerSecond: null })).toBe(500);
  expect(etaOf(0, { ...model, inFlight: 0, startsPerSecond: null, readyInMs: 30_000, room: 1 })).toBe(30_000);
});

it("draws a curve of at most 32 points that is true to an eighth", () => {
  const flows = Array.from({ length: 300 }, (_, index) => ({
    tag: ((index * 7919) % 1700) / 100,
    step: 1 + ((index * 31) % 97) / 25,
    backlog: 1 + ((index * 37) % 90),
  }));
  const curve = curveOf(flows);
  expect(curve.length).toBeLessThanOrEqual(32);
  for (let tag = 0; tag < 400; tag += 0.7) {
    const real = flows.reduce(
      (sum, one) => sum + (tag <= one.tag ? 0 : Math.min(one.backlog, Math.ceil((tag - one.tag) / one.step))),
      0,
    );
    if (real > 300) expect(Math.abs(countBefore(curve, tag) / real - 1)).toBeLessThan(0.12);
  }
  expect(countBefore(curve, 1e9)).toBe(flows.reduce((sum, { backlog }) => sum + backlog, 0));
});
