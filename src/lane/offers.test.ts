/** What an offer changes of an entry that a session has in hand. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { LaneCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { LaneEntry } from "./types.ts";

const entry: LaneEntry = {
  ...{ id: "p", account: "a", weight: 1, priority: "normal", cost: 1, model: "local/echo", version: "v" },
  ...{ createdAt: 1_000_000, startBy: 2_000_000, traceparent: null },
};

function setUp() {
  const clock = { now: 1_000_000 };
  const lane = new LaneCore(memorySql(), { now: () => clock.now });
  const { tickets } = lane.offer([entry]);
  const poll = (session: string) =>
    lane.take(session, new Map([["local/echo v", { room: 1, startNow: 1 }]]), 1).map(({ id }) => id);
  return { clock, lane, tickets, poll };
}

it("hands out at once what came back, though it never heard of the grant", () => {
  const { lane, tickets, poll } = setUp();
  expect(poll("one")).toEqual(["p"]);
  expect(lane.offer([{ ...entry, isBack: true }]).tickets).toEqual(tickets);
  expect(lane.stats().waiting.normal).toBe(1);
  expect(poll("two")).toEqual(["p"]);
});

it("leaves what is offered again with the session that it was handed to, for as long as that may take", () => {
  const { clock, lane, poll } = setUp();
  expect(poll("one")).toEqual(["p"]);
  lane.offer([entry]);
  clock.now += defaultRules.handedMs - 1;
  expect(poll("two")).toEqual([]);
  clock.now += 1;
  expect(poll("two")).toEqual(["p"]);
});

it("releases what came back to the log again, from which its record is read already", () => {
  const { lane } = setUp();
  const release = () => lane.release(10).map(({ id }) => id);
  expect([release(), release()]).toEqual([["p"], []]);
  lane.offer([entry]);
  expect(release()).toEqual([]);
  lane.offer([{ ...entry, isBack: true }]);
  expect(release()).toEqual(["p"]);
});

it("frees once what comes back twice, and late, and holds nothing of it in the end", () => {
  const { lane, poll } = setUp();
  const isBack = () => lane.offer([{ ...entry, isBack: true }]);
  const held = () => [lane.memory().marks, lane.memory().holds, lane.stats().inFlight, lane.stats().waiting.normal];
  poll("one");
  isBack();
  expect(held()).toEqual([0, 0, 0, 1]);
  poll("two");
  expect(held()).toEqual([1, 1, 0, 1]);
  // It was said before, and comes again: a third has it in hand, too, and its shard grants it to one of them.
  isBack();
  isBack();
  expect(held()).toEqual([0, 0, 0, 1]);
  expect(poll("three")).toEqual(["p"]);
  lane.granted([{ ...entry, session: "two" }]);
  expect(held()).toEqual([0, 1, 1, 0]);
  // Behind the grant, too: its shard takes out what doesn't wait.
  isBack();
  lane.withdraw([entry]);
  expect(held()).toEqual([0, 0, 0, 0]);
  expect(poll("three")).toEqual([]);
});
