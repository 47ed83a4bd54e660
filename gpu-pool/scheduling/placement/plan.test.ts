/** What placement decides, case by case; what follows from it over whole days is in the simulation. */
import { expect, test } from "vitest";
import { MemoryEstimate } from "./memory-estimate.ts";
import { morePlaces } from "./more-places.ts";
import { planPlacement } from "./plan.ts";
import { refusalOf } from "./refusal.ts";
import type { PlacedInstance, PlacementDevice, PlacementModel } from "./types.ts";

const NOW = 1_000_000;
const cards = (...sizes: (number | null)[]): PlacementDevice[] =>
  sizes.map((memoryBytes, index) => ({
    id: String(index),
    kind: "cuda",
    memoryBytes,
    foreignBytes: 0,
    problem: null,
  }));
const model = (name: string, changes: Partial<PlacementModel> = {}): PlacementModel => ({
  model: name,
  kind: "cuda",
  count: 8,
  devicesPerInstance: 1,
  devices: null,
  pinned: false,
  bytes: 10,
  least: 0,
  alone: false,
  wanted: 0,
  wantedSinceMs: NOW,
  startable: 8,
  loadMs: 1000,
  demand: 1,
  ...changes,
});
const wants = (name: string, changes: Partial<PlacementModel> = {}) => model(name, { wanted: 1, ...changes });
const placed = (name: string, device: string, changes: Partial<PlacedInstance> = {}): PlacedInstance => ({
  id: `${name}#0`,
  model: name,
  devices: [device],
  bytes: 10,
  state: "idle",
  readyAtMs: NOW - 600_000,
  lastUsedMs: NOW - 600_000,
  ...changes,
});
const plan = (devices: PlacementDevice[], models: PlacementModel[], instances: PlacedInstance[] = []) =>
  planPlacement({ devices, models, instances }, NOW);

test("eight models with one instance each get eight cards, and one request starts one instance", () => {
  const models = Array.from({ length: 8 }, (_, index) => wants(`m${index}`));
  const { starts } = plan(cards(24, 24, 24, 24, 24, 24, 24, 24), models);
  expect(starts.flatMap(({ devices }) => devices).toSorted((a, b) => a.localeCompare(b))).toEqual([
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
  ]);
  expect(plan(cards(24, 24), [wants("m")]).starts).toHaveLength(1);
});

test("several share a card within its memory, and no more than that", () => {
  const models = ["a", "b", "c"].map((name) => wants(name));
  const { starts, blocked } = plan(cards(24), models);
  expect(starts.map((start) => start.model)).toEqual(["a", "b"]);
  expect(blocked).toEqual(["c"]);
  const foreign = cards(24).map((card) => ({ ...card, foreignBytes: 10 }));
  expect(plan(foreign, models).starts).toHaveLength(1);
});

test("the least valuable goes first: what it costs to load again, times how often it is asked for", () => {
  const models = [model("dear", { loadMs: 60_000 }), model("rare", { demand: 0.01 }), model("usual"), wants("new")];
  const residents = [placed("dear", "0"), placed("usual", "0"), placed("rare", "0")];
  expect(plan(cards(30), models, residents)).toMatchObject({ evictions: ["rare#0"], starts: [], blocked: ["new"] });
  const large = [...models.slice(0, 3), wants("new", { bytes: 20 })];
  expect(plan(cards(30), large, residents).evictions).toEqual(["rare#0", "usual#0"]);
});

test("pinned models, and those that load, are never ended", () => {
  const pinned = model("pinned", { pinned: true });
  expect(plan(cards(10), [pinned, wants("new")], [placed("pinned", "0")]).evictions).toEqual([]);
  expect(plan(cards(10), [model("a"), wants("new")], [placed("a", "0", { state: "loading" })]).evictions).toEqual([]);
});

test("who is in use keeps its place for a turn; then it ends, though it is busy", () => {
  const models = [model("busy"), wants("new", { wantedSinceMs: NOW - 10 })];
  const since = (readyAtMs: number) => [placed("busy", "0", { state: "busy", readyAtMs, lastUsedMs: NOW })];
  const early = plan(cards(10), models, since(NOW - 1000));
  expect(early).toMatchObject({ evictions: [], blocked: ["new"], lookAgainInMs: 4990 });
  expect(plan(cards(10), models, since(NOW - 6000)).evictions).toEqual(["busy#0"]);
});

test("while one leaves nobody else is ended for the same place", () => {
  const models = [model("a"), model("b"), wants("new")];
  const residents = [placed("a", "0", { state: "leaving" }), placed("b", "0")];
  expect(plan(cards(20), models, residents)).toMatchObject({ evictions: [], starts: [], blocked: ["new"] });
});

test("a model that spans cards gets as many, each with room; one that is told its cards stays on them", () => {
  expect(plan(cards(24, 8, 24), [wants("wide", { devicesPerInstance: 2 })]).starts).toEqual([
    { model: "wide", devices: ["0", "2"], bytes: 10 },
  ]);
  expect(plan(cards(24, 24), [wants("told", { devices: ["1"] })]).starts[0]?.devices).toEqual(["1"]);
});

test("a card that is fenced off takes nothing new", () => {
  const [first, second] = cards(24, 24);
  const sick = { ...first, problem: "lost" } as PlacementDevice;
  expect(plan([sick, second as PlacementDevice], [wants("m")]).starts[0]?.devices).toEqual(["1"]);
});

test("of whose memory nobody knows, one is loaded with all that is free, and no second beside it", () => {
  const unknown = wants("m", { bytes: null, wanted: 3 });
  expect(plan(cards(24, 24), [unknown]).starts).toEqual([{ model: "m", devices: ["0"], bytes: 24 }]);
  expect(plan(cards(24, 24), [unknown], [placed("m", "0", { bytes: 24, state: "loading" })]).starts).toEqual([]);
  expect(plan(cards(null), [unknown]).starts).toHaveLength(3);
});

test("of whose memory nobody knows, one is loaded in what pinned models leave of a card", () => {
  const pinned = model("pinned", { pinned: true });
  const host = (kept: number, changes: Partial<PlacementModel> = {}) =>
    plan(cards(24), [pinned, wants("m", { bytes: null, ...changes })], [placed("pinned", "0", { bytes: kept })]);
  expect(host(20).starts).toEqual([{ model: "m", devices: ["0"], bytes: 4 }]);
  expect(host(20, { alone: true }).starts).toEqual([{ model: "m", devices: ["0"], bytes: 4 }]);
  expect(host(20, { least: 5 })).toMatchObject({ starts: [], blocked: ["m"] });
  expect(host(24)).toMatchObject({ starts: [], blocked: ["m"] });
});

test("while a pinned model is measured by its first load, one that ran out of memory waits for what that leaves", () => {
  const measured = model("pinned", { pinned: true, bytes: null });
  const loading = placed("pinned", "0", { bytes: 20, state: "loading" });
  const comer = wants("m", { bytes: null, alone: true });
  expect(plan(cards(24), [measured, comer], [loading])).toMatchObject({ starts: [], blocked: ["m"] });
});

test("more instances of a model end nobody that is in use", () => {
  const models = [wants("more", { wanted: 2 }), model("other")];
  const own = placed("more", "0", { state: "busy" });
  const recent = placed("other", "1", { lastUsedMs: NOW - 10_000 });
  expect(plan(cards(10, 10), models, [own, recent])).toMatchObject({ evictions: [], lookAgainInMs: 20_000 });
  const unused = placed("other", "1", { lastUsedMs: NOW - 40_000 });
  expect(plan(cards(10, 10), models, [own, unused]).evictions).toEqual(["other#0"]);
});

test("how many more of a model would get a place: where it is free, or one other could be ended for it now", () => {
  const more = (devices: PlacementDevice[], models: PlacementModel[], instances: PlacedInstance[] = []) =>
    morePlaces({ devices, models, instances }, plan(devices, models, instances), NOW)("more");
  const models = [model("more"), model("other")];
  const own = placed("more", "0", { state: "busy", readyAtMs: NOW });
  const other = (ago: number) => placed("other", "1", { lastUsedMs: NOW - ago });
  const never = { lookAgainInMs: Infinity };
  expect(more(cards(10, 10, 10), models, [own])).toEqual({ places: 2, ...never });
  expect(more(cards(10, 10, 10), models, [own, other(0)])).toMatchObject({ places: 1 });
  expect(more(cards(10, 10), models, [own, placed("other", "1", { state: "busy" })])).toEqual({ places: 0, ...never });
  expect(more(cards(10, 10), models, [own, other(10_000)])).toEqual({ places: 0, lookAgainInMs: 20_000 });
  expect(more(cards(10, 10), models, [own, other(40_000)])).toEqual({ places: 1, ...never });
  expect(more(cards(10, 10), [model("more", { startable: 0 })], [own])).toMatchObject({ places: 0 });
  expect(more(cards(10, 10), [model("more", { count: 1 })], [own])).toMatchObject({ places: 0 });
  // What begins now is no place for one more, and whom others end leaves theirs.
  expect(more(cards(10, 10), [wants("more", { wanted: 2 })], [own])).toMatchObject({ places: 0 });
  expect(more(cards(10, 10), [model("more"), wants("new")], [own])).toMatchObject({ places: 0 });
  expect(more(cards(10, 10), [...models, wants("new")], [own, other(40_000)])).toMatchObject({ places: 0 });
});

test("a card that holds more than it has is relieved of who is idle", () => {
  const residents = [placed("a", "0", { bytes: 20 }), placed("b", "0", { state: "busy" })];
  expect(plan(cards(24), [model("a"), model("b")], residents).evictions).toEqual(["a#0"]);
});

test("what can never be placed is refused with the reason", () => {
  const refusal = (changes: Partial<PlacementModel>, devices = cards(24 * 1024 ** 3), pinned: PlacedInstance[] = []) =>
    refusalOf(model("m", changes), devices, pinned);
  expect(refusal({ bytes: 40 * 1024 ** 3 })).toBe(
    "an instance takes 40.0 GiB of a device, and the largest has 24.0 GiB",
  );
  expect(refusal({ devicesPerInstance: 2 })).toContain("takes 2 devices, and this host has 1");
  const pair = { bytes: 40 * 1024 ** 3, devicesPerInstance: 2 };
  for (const largest of [40 * 1024 ** 3, null])
    expect(refusal(pair, cards(24 * 1024 ** 3, largest))).toBe(
      "an instance takes 40.0 GiB of each of 2 devices, and only 1 has that",
    );
  expect(refusal(pair, cards(24 * 1024 ** 3, 16 * 1024 ** 3))).toContain("of 2 devices, and the largest has 24.0 GiB");
  expect(refusal({ devices: ["7"] })).toContain("names 7, and this host has 0");
  const resident = placed("other", "0", { bytes: 20 * 1024 ** 3 });
  expect(refusal({ bytes: 10 * 1024 ** 3 }, undefined, [resident])).toContain("4.0 GiB beside the pinned models");
  expect(refusal({})).toBeNull();
  const all = placed("other", "0", { bytes: 24 * 1024 ** 3 });
  expect(refusal({ bytes: null }, undefined, [all])).toBe(
    "an instance takes more than 0.0 GiB of a device, and the largest has 0.0 GiB beside the pinned models",
  );
  expect(refusal({ bytes: null }, undefined, [resident])).toBeNull();
});

test("what is known of a model's memory: the hint, then what a load took, and what it grew by", () => {
  const hinted = new MemoryEstimate(10);
  expect(hinted.bytes).toBe(10);
  hinted.loaded(12, 80);
  expect(hinted.bytes).toBe(12);
  const silent = new MemoryEstimate(null);
  expect(silent.bytes).toBeNull();
  silent.loaded(40, 80);
  expect(silent.bytes).toBe(50);
  silent.grew(30);
  expect(silent.bytes).toBe(70);
  silent.loaded(70, 80);
  expect(silent.bytes).toBe(80);
  const wide = new MemoryEstimate(null);
  wide.loaded(30, 16);
  expect(wide.bytes).toBe(16);
});
