/** What a pool takes of models that want more processes than it has cards: no more than begins soon, and no less. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

const TICK_MS = 100;
const quick = { loadMs: 500, runMs: 300 };

/** Three cards with a model each: one is flooded by an account, and asked by another now and then. */
async function threeTaken() {
  const { clock, pass } = createSteppedClock();
  const flooded = { loadMs: 1500, runMs: 300 };
  const host = new ContendedHost(clock, 3, { flooded, slow: { loadMs: 500, runMs: 3000 }, steady: quick, late: quick });
  let ticks = 0;
  const tick = async (asked: readonly string[]): Promise<void> => {
    host.flood("greedy", "flooded", 30);
    if (ticks % 20 === 0) host.submit("small", "flooded");
    if (ticks % 30 === 0 && asked.includes("slow")) host.submit("other", "slow");
    if (ticks % 5 === 0 && asked.includes("steady")) host.submit("other", "steady");
    ticks += 1;
    await pass(TICK_MS);
  };
  const all = async (count: number, asked: readonly string[] = ["slow", "steady"]): Promise<void> => {
    for (let index = 0; index < count; index += 1) await tick(asked);
  };
  /** How many ticks pass until it is so. */
  const until = async (isSo: () => boolean, most: number, asked: readonly string[] = []): Promise<number> => {
    for (let count = 0; count < most; count += 1) {
      if (isSo()) return count;
      await tick(asked);
    }
    throw new Error(`not so after ${most * TICK_MS} ms`);
  };
  await all(20);
  expect(["flooded", "slow", "steady"].map((name) => host.placesOf(name))).toEqual([1, 1, 1]);
  const backs = (): number => host.asked.reduce((sum, { handedBack }) => sum + handedBack, 0);
  // It could not know before that it gets one card only.
  const first = backs();
  return { host, all, until, backs: () => backs() - first };
}

test("a flooded model without another place takes half a second of work ahead, and hands none back", async () => {
  const { host, all, backs } = await threeTaken();
  const fromMs = host.nowMs;
  await all(400);
  const ran = host.asked.filter(({ endedAtMs, model }) => endedAtMs !== null && model === "flooded");
  expect(backs()).toBe(0);
  // It runs one after the other.
  expect(ran.length).toBeGreaterThan(120);
  const small = ran.filter(({ account, atMs }) => account === "small" && atMs >= fromMs);
  expect(small.length).toBeGreaterThan(15);
  for (const { atMs, endedAtMs } of small) expect((endedAtMs ?? Infinity) - atMs).toBeLessThanOrEqual(1500);
});

test("a card that is left is taken within a second, and so is one that nobody has used for half a minute", async () => {
  const { host, all, until, backs } = await threeTaken();
  await all(40);
  host.end("steady");
  expect(await until(() => host.placesOf("flooded") === 2, 50, ["slow"])).toBeLessThanOrEqual(10);
  await all(20, ["slow"]);
  expect(backs()).toBe(0);
  const lastMs = Math.max(...host.asked.flatMap(({ model, endedAtMs }) => (model === "slow" ? (endedAtMs ?? 0) : [])));
  await until(() => host.placesOf("flooded") === 3, 400);
  expect(host.nowMs - lastMs).toBeLessThanOrEqual(35_000);
});

test("while nothing else happens each card is told as its time comes, and no more of them than there are", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 3, { long: { loadMs: 500, runMs: 600_000 }, one: quick, other: quick });
  /** Asked for twice: it works when its second prediction comes. */
  const use = async (model: string): Promise<void> => {
    host.submit("other", model);
    await pass(100);
    host.submit("other", model);
  };
  await use("one");
  await use("other");
  await pass(2000);
  for (let count = 0; count < 2; count += 1) host.submit("greedy", "long");
  await pass(5000);
  await use("one");
  await pass(10_000);
  await use("other");
  await pass(15_000);
  expect([host.placesOf("long"), host.roomOf("long")]).toEqual([1, 0]);
  await pass(8000);
  expect([host.placesOf("long"), host.roomOf("long"), host.placesOf("other")]).toEqual([2, 0, 1]);
  await pass(10_000);
  expect(host.roomOf("long")).toBe(1);
  host.submit("greedy", "long");
  await pass(1000);
  expect(host.placesOf("long")).toBe(3);
});

test("a model without a process keeps its first request, however taken the cards are, until its turn has come", async () => {
  const { host, all, until } = await threeTaken();
  await all(40);
  expect(host.roomOf("late")).toBeGreaterThan(0);
  host.submit("other", "late");
  const [asked] = host.asked.filter(({ model }) => model === "late");
  await all(50);
  expect(host.placesOf("late")).toBe(0);
  await until(() => asked?.endedAtMs !== null, 150, ["slow", "steady"]);
  expect(asked?.handedBack).toBe(0);
});

test("a process that was told to leave is no room: what comes while it still runs waits until it is gone", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 1, { one: { loadMs: 500, runMs: 600 } });
  host.submit("first", "one");
  await pass(800);
  expect(host.roomOf("one")).toBe(1);
  host.end("one");
  expect(host.roomOf("one")).toBe(0);
  await pass(20);
  host.submit("second", "one");
  await pass(100);
  expect(host.heldOf("one")).toBe(1);
  await pass(5000);
  expect(host.asked.map(({ endedAtMs, handedBack }) => [endedAtMs !== null, handedBack])).toEqual([
    [true, 0],
    [true, 0],
  ]);
});

test("a model of unknown memory has room for one process until that is measured, then for one a card", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 3, { guess: { loadMs: 2000, runMs: 60_000, hint: false } });
  await pass(20);
  expect(host.roomOf("guess")).toBe(1);
  host.flood("first", "guess", 5);
  await pass(1500);
  expect([host.heldOf("guess"), host.roomOf("guess"), host.placesOf("guess")]).toEqual([1, 0, 1]);
  await pass(1500);
  expect(host.placesOf("guess")).toBe(3);
  expect(host.heldOf("guess")).toBeGreaterThanOrEqual(3);
});
