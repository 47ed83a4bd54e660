import { expect, test } from "vitest";
import { nextChangeInMs, roomsOf, startQuotas } from "./room.ts";
import type { ModelLoad, Place } from "./room.ts";

const place = (changes: Partial<Place> = {}): Place => ({
  device: "0",
  slots: 1,
  free: 1,
  runningForMs: [],
  state: "warm",
  ...changes,
});
const load = (changes: Partial<ModelLoad> = {}): ModelLoad => ({
  model: "a/b",
  version: "v",
  lane: "default",
  batch: 1,
  places: [place()],
  waiting: 0,
  counted: 0,
  picks: false,
  runMs: 5000,
  runs: 1000,
  readyInMs: 0,
  problem: null,
  limit: Infinity,
  ...changes,
});
const roomOf = (changes: Partial<ModelLoad> = {}) => {
  const [room] = roomsOf([load(changes)], 32);
  return [room?.room, room?.startNow];
};
const busyFor = (ms: number): Place => place({ free: 0, runningForMs: [ms] });

test("behind a long run nothing is taken ahead, until half a second before its end", () => {
  expect(roomOf()).toEqual([1, 1]);
  expect(roomOf({ places: [busyFor(0)] })).toEqual([0, 0]);
  expect(roomOf({ places: [busyFor(4499)] })).toEqual([0, 0]);
  expect(roomOf({ places: [busyFor(4500)] })).toEqual([1, 1]);
  expect(roomOf({ places: [busyFor(4500)], waiting: 1, counted: 1 })).toEqual([0, 0]);
});

test("a run that is late by more than half a second may be late for long", () => {
  expect(roomOf({ places: [busyFor(5500)] })).toEqual([1, 1]);
  expect(roomOf({ places: [busyFor(5501)] })).toEqual([0, 0]);
});

test("of short runs as many are taken as begin within half a second, up to the most batches ahead", () => {
  expect(roomOf({ runMs: 100 })).toEqual([5, 2]);
  expect(roomOf({ runMs: 100, batch: 4 })).toEqual([20, 8]);
  expect(roomOf({ runMs: 1 })).toEqual([33, 17]);
  expect(roomOf({ runMs: 1, places: [busyFor(0)] })).toEqual([32, 16]);
  expect(roomOf({ runMs: 10, places: [busyFor(0)] })).toEqual([32, 5]);
  expect(roomOf({ runMs: 300, places: [busyFor(0)] })).toEqual([1, 1]);
});

test("ahead of its slots a pool takes one batch, and one more for each run that it has seen", () => {
  const short = { runMs: 1, batch: 4 };
  expect(roomOf({ ...short, runs: 0 })).toEqual([8, 8]);
  expect(roomOf({ ...short, runs: 2 })).toEqual([16, 16]);
  expect(roomOf({ ...short, runs: 2, places: [busyFor(0)] })).toEqual([12, 12]);
  expect(roomOf({ ...short, runs: 2, places: [busyFor(0)], waiting: 12, counted: 12 })).toEqual([0, 0]);
  const many = Array.from({ length: 8 }, () => busyFor(0));
  expect(roomOf({ runMs: 100, runs: 0, places: many })).toEqual([1, 1]);
  expect(roomOf({ runMs: 5000, runs: 9, places: [busyFor(0)] })).toEqual([0, 0]);
});

test("before the first run one is taken to last half a second", () => {
  expect(roomOf({ runMs: null })).toEqual([1, 1]);
  expect(roomOf({ runMs: null, places: [busyFor(0)] })).toEqual([1, 1]);
});

test("a cold model takes a batch a slot and starts none; one that can't be set up takes none and says why", () => {
  const cold = place({ state: "cold", free: 0, slots: 2 });
  expect(roomOf({ places: [cold], batch: 4, readyInMs: null })).toEqual([8, 0]);
  expect(roomOf({ places: [place({ state: "out", free: 0 })] })).toEqual([0, 0]);
  expect(roomsOf([load({ places: [cold], problem: "no weights" })], 32)).toMatchObject([
    { room: 0, startNow: 0, problem: "no weights" },
  ]);
});

test("a limit bounds what is taken besides what is held", () => {
  expect(roomOf({ runMs: 1, limit: 1 })).toEqual([1, 1]);
  expect(roomOf({ runMs: 1, limit: 0 })).toEqual([0, 0]);
});

test("starts ahead of free slots are bounded a device, not a model", () => {
  const models = ["x", "y", "z"].map((model) => load({ model, runMs: 100 }));
  const quotas = startQuotas(models);
  expect(quotas.toSorted((a, b) => a - b)).toEqual([1, 1, 2]);
  const elsewhere = load({ runMs: 100, places: [place({ device: "1" })] });
  expect(startQuotas([...models, elsewhere]).at(-1)).toBe(2);
});

test("the largest model of a device sets the bound; who has starts ahead keeps them", () => {
  const small = load({ model: "small", counted: 2, waiting: 2, runMs: 100 });
  const large = load({ model: "large", batch: 8, runMs: 100 });
  expect(startQuotas([small, large])).toEqual([2, 15]);
  expect(startQuotas([{ ...small, counted: 0, waiting: 0 }, large])).toEqual([1, 16]);
});

test("time alone changes the room when a long run nears its end, and when it is late", () => {
  expect(nextChangeInMs([load()])).toBe(Infinity);
  expect(nextChangeInMs([load({ places: [busyFor(1500)] })])).toBe(3000);
  expect(nextChangeInMs([load({ places: [busyFor(4500)] })])).toBe(1001);
  expect(nextChangeInMs([load({ places: [busyFor(5501)] })])).toBe(Infinity);
});

test("what is counted and does not run yet takes of the starts", () => {
  expect(roomOf({ runMs: 1, waiting: 5, counted: 5 })).toEqual([28, 12]);
});

test("starts ahead go to who has some ahead, then to the busiest, then to large batches", () => {
  const [first, second] = [load({ model: "first" }), load({ model: "second" })];
  expect(startQuotas([first, { ...second, waiting: 3 }])).toEqual([1, 2]);
  const runs = load({ places: [place({ slots: 2, free: 0, runningForMs: [0, 0] })] });
  expect(startQuotas([{ ...first, waiting: 1 }, runs])).toEqual([1, 2]);
  const ahead = { ...first, waiting: 3, counted: 3 };
  expect(startQuotas([{ ...second, waiting: 9 }, ahead])).toEqual([1, 2]);
  expect(startQuotas([{ ...ahead, counted: 2 }, ahead])).toEqual([1, 2]);
  expect(startQuotas([first, { ...second, batch: 4 }])).toEqual([1, 8]);
});

test("where batches pick among what waits, no start is counted of what comes while others wait", () => {
  const waits = { places: [busyFor(50)], runMs: 100, batch: 4, counted: 0 };
  expect(roomOf({ ...waits, waiting: 10 })).toEqual([10, 4]);
  expect(roomOf({ ...waits, waiting: 10, picks: true })).toEqual([10, 0]);
  expect(roomOf({ ...waits, waiting: 0, picks: true })).toEqual([20, 4]);
});
