import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import type { Priority } from "../contract/prediction.ts";
import { LaneCore } from "./core.ts";
import type { LaneEntry } from "./types.ts";

function entry(id: string, priority: Priority = "normal", front = false): LaneEntry {
  return {
    id,
    tenant: "t",
    priority,
    cost: 1,
    model: "local/echo",
    version: "v",
    startBy: 0,
    traceparent: null,
    front,
  };
}

function setUp() {
  const clock = { now: 1_000_000 };
  const sql = memorySql();
  const open = () => new LaneCore(sql, () => clock.now, 16);
  const lane = open();
  /** Lets everything leave that may. */
  const release = (core = lane): string[] => {
    const left = core.fill();
    core.produced(left);
    return left.map(({ id }) => id);
  };
  return { clock, lane, open, release };
}

const ids = (count: number, name = "p") => Array.from({ length: count }, (_, index) => `${name}${index}`);

it("lets what comes leave at once while there is room, and stores the rest in order", () => {
  const { lane, release } = setUp();
  const tickets = lane.offer(ids(20).map((id) => entry(id)));
  expect(tickets["p0"]).toBeNull();
  expect(tickets["p16"]).toBe(1);
  expect(release()).toEqual(ids(16));
  expect(release()).toEqual([]);
  lane.claimed(["p3", "p4"]);
  expect(release()).toEqual(["p16", "p17"]);
});

it("opens its window to four batches of every slot", () => {
  const { lane, release } = setUp();
  lane.setPool({ session: "a", slots: 2, maxBatchSize: 8 });
  lane.setPool({ session: "b", slots: 1, maxBatchSize: 8 });
  lane.offer(ids(200).map((id) => entry(id)));
  expect(release()).toHaveLength(96);
  lane.setPool({ session: "a", slots: 0, maxBatchSize: 1 });
  expect(lane.stats()).toMatchObject({ window: 32, pools: 1 });
});

it("keeps an id's place when it is handed on again, and what is on its way once only", () => {
  const { lane, release, clock } = setUp();
  lane.offer(ids(20).map((id) => entry(id)));
  release();
  expect(lane.offer([entry("p2"), entry("p17")])).toEqual({ p2: null, p17: 2 });
  expect(release()).toEqual([]);
  clock.now += 30_000;
  lane.expire();
  lane.offer([entry("p2")]);
  expect(release()).toContain("p17");
});

it("lets what had its turn pass those that wait", () => {
  const { lane, release } = setUp();
  lane.offer(ids(30).map((id) => entry(id)));
  release();
  lane.offer([entry("again", "low", true)]);
  expect(release()).toEqual(["again"]);
});

it("survives its own death with what waits, in order", () => {
  const { lane, open, release } = setUp();
  lane.offer(ids(30).map((id) => entry(id, Number(id.slice(1)) % 2 === 0 ? "high" : "normal")));
  const left = release();
  const reborn = open();
  const after = release(reborn);
  expect([...left, ...after].toSorted()).toEqual(ids(30).toSorted());
  expect(after.filter((id) => Number(id.slice(1)) % 2 === 0)).toEqual([
    "p16",
    "p18",
    "p20",
    "p22",
    "p24",
    "p26",
    "p28",
  ]);
});

it("stores what the log would not take, in front and in order", () => {
  const { lane, release } = setUp();
  lane.offer(ids(18).map((id) => entry(id)));
  lane.fill();
  // What comes while the log is being tried is kept with the rest.
  lane.offer([entry("meanwhile", "normal", true)]);
  lane.keep();
  expect(lane.stats().released).toBe(0);
  expect(release()).toEqual(ids(16));
  lane.claimed(ids(16));
  expect(release()).toEqual(["meanwhile", "p16", "p17"]);
});

it("takes out what is withdrawn, and moves the head past it", () => {
  const { lane, release } = setUp();
  lane.offer(ids(20).map((id) => entry(id)));
  release();
  lane.withdraw(["p16", "p17"]);
  expect(lane.stats().heads.normal).toBe(3);
  lane.claimed(ids(16));
  expect(release()).toEqual(["p18", "p19"]);
  expect(lane.hasWaiting()).toBe(false);
});

it("measures the rate of claims", () => {
  const { lane, clock } = setUp();
  expect(lane.stats().ratePerSecond).toBeNull();
  for (let second = 0; second < 10; second += 1) {
    lane.claimed(ids(5, `s${second}-`));
    clock.now += 1000;
  }
  expect(lane.stats().ratePerSecond).toBeCloseTo(5, 0);
});

it("lets what is in the log and not claimed leave again when the log is another one", () => {
  const { clock, lane, release } = setUp();
  lane.offer(ids(20).map((id) => entry(id)));
  release();
  lane.claimed(["p0", "p1"]);
  lane.withdraw(["p2"]);
  expect(lane.releaseAgain()).toBe(13);
  expect(release()).toEqual([...ids(16).slice(3), "p16", "p17", "p18"]);
  clock.now += 25_001;
  // Its shards have taken these back into their care.
  expect(lane.releaseAgain()).toBe(0);
});
