import { expect, it } from "vitest";
import type { LaneEntry, Reservation } from "../lane/types.ts";
import { createShortWay } from "./short-way.ts";

const entry = (id: string, model = "local/echo"): LaneEntry => ({
  ...{ id, account: "a", weight: 1, priority: "normal", cost: 1, model, version: "v" },
  ...{ createdAt: 0, startBy: 0, traceparent: null },
});
const reserved: Reservation = { outcome: "reserved", session: "s" };
const waits: Reservation = { outcome: "waits" };

async function noReservations(entries: readonly LaneEntry[]): Promise<Reservation[]> {
  return entries.map(() => waits);
}

function setUp() {
  const clock = { now: 0 };
  const timers: { at: number; call: () => void }[] = [];
  const asked: string[][] = [];
  const unused: string[] = [];
  const lane = { answer: noReservations };
  const shortWay = createShortWay({
    now: () => clock.now,
    ask(_, entries) {
      asked.push(entries.map(({ id }) => id));
      return lane.answer(entries);
    },
    unused: (_, ids) => void unused.push(...ids),
    after(delayMs, call) {
      const timer = { at: clock.now + delayMs, call };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  });
  const pass = async (ms: number) => {
    clock.now += ms;
    for (const timer of timers.splice(0)) {
      if (timer.at <= clock.now) timer.call();
      else timers.push(timer);
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  const reserve = (...entries: LaneEntry[]) => shortWay.reserve("lane", entries);
  return { shortWay, lane, asked, unused, pass, reserve, timers };
}

it("answers in the order of what it was asked for", async () => {
  const { lane, reserve } = setUp();
  lane.answer = async (entries) => entries.map(({ id }) => (id === "b" ? waits : reserved));
  expect(await reserve(entry("a"), entry("b"), entry("c"))).toEqual([reserved, waits, reserved]);
});

it("waits 10 ms for a lane, gives late reservations back, and leaves a lane that hangs alone, longer each time", async () => {
  const { lane, asked, unused, pass, reserve } = setUp();
  const { promise, resolve } = Promise.withResolvers<Reservation[]>();
  lane.answer = () => promise;
  const first = reserve(entry("a"));
  await pass(10);
  expect(await first).toEqual([waits]);
  expect(await reserve(entry("b"))).toEqual([waits]);
  expect(asked).toEqual([["a"]]);
  resolve([reserved]);
  await pass(0);
  expect(unused).toEqual(["a"]);
  lane.answer = () => new Promise(() => {});
  let questions = 0;
  for (let at = 0; at < 600_000; at += 10) {
    const before = asked.length;
    const reservation = reserve(entry(`at${at}`));
    if (asked.length > before) questions += 1;
    await pass(10);
    expect(await reservation).toEqual([waits]);
  }
  // In ten minutes of a hung lane, so few requests wait for it.
  expect(questions).toBeLessThanOrEqual(8);
});

it("leaves no timer behind when the lane has answered", async () => {
  const { timers, reserve } = setUp();
  await reserve(entry("a"));
  expect(timers).toEqual([]);
});

it("asks a lane again that answers otherwise", async () => {
  const { lane, asked, pass, reserve, shortWay } = setUp();
  lane.answer = () => Promise.reject(new Error("reset"));
  expect(await reserve(entry("a"))).toEqual([waits]);
  expect(await reserve(entry("b"))).toEqual([waits]);
  expect(asked).toEqual([["a"]]);
  shortWay.wentWell("lane");
  lane.answer = async () => [reserved];
  await pass(0);
  expect(await reserve(entry("c"))).toEqual([reserved]);
});

it("doesn't ask for a version that had no room, until the lane says that it has, or a second later; others are asked for", async () => {
  const { lane, asked, pass, reserve, shortWay } = setUp();
  lane.answer = async (entries) => entries.map(({ model }) => (model === "local/echo" ? waits : reserved));
  await reserve(entry("a"));
  expect(await reserve(entry("b"), entry("c", "local/other"))).toEqual([waits, reserved]);
  expect(asked).toEqual([["a"], ["c"]]);
  shortWay.hasRoom("lane", { model: "local/echo", version: "v" });
  await reserve(entry("d"));
  expect(asked.at(-1)).toEqual(["d"]);
  await pass(1000);
  await reserve(entry("e"));
  expect(asked.at(-1)).toEqual(["e"]);
});
