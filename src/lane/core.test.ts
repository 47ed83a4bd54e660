import { expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import type { ModelRoom } from "../contract/channel.ts";
import { LaneCore } from "./core.ts";
import type { LaneRules } from "./rules.ts";
import type { EntryRef, LaneEntry } from "./types.ts";

const T0 = 1_000_000;
const KEY = "local/echo v";

function entry(id: string, changes: Partial<LaneEntry> = {}): LaneEntry {
  return {
    id,
    account: "a",
    weight: 1,
    priority: "normal",
    cost: 1,
    model: "local/echo",
    version: "v",
    createdAt: T0,
    startBy: T0 + 1_000_000,
    traceparent: null,
    ...changes,
  };
}

function room(count: number, changes: Partial<ModelRoom> = {}): ModelRoom {
  return { model: "local/echo", version: "v", room: count, startNow: count, readyInMs: 0, problem: null, ...changes };
}

function setUp(rules: Partial<LaneRules> = {}) {
  const clock = { now: T0 };
  const sql = memorySql();
  const writes = { count: 0 };
  const open = () =>
    new LaneCore(
      (query, ...bindings) => {
        if (/^(INSERT|DELETE|UPDATE)/.test(query)) writes.count += 1;
        return sql(query, ...bindings);
      },
      { now: () => clock.now, rules },
    );
  const lane = open();
  let n = 0;
  const tell = (
    session: string,
    models: ModelRoom[],
    seen: string[] = [],
    ended: { id: string; ms: number }[] = [],
  ) => {
    n += 1;
    lane.tell({ session, n, full: true, models, seen, ended });
  };
  const poll = (session: string, count: number, key = KEY) =>
    lane.take(session, new Map([[key, { room: count, startNow: count }]]), 100).map(({ id }) => id);
  const grant = (session: string, refs: readonly EntryRef[]) => lane.granted(refs.map((ref) => ({ ...ref, session })));
  return { clock, lane, open, tell, poll, grant, writes };
}

const names = (count: number, name = "p") =>
  Array.from({ length: count }, (_, index) => `${name}${String(index).padStart(3, "0")}`);
const waits = { outcome: "waits" };

it("reserves the session with most room, each unit of it once", () => {
  const { lane, tell, writes } = setUp();
  tell("one", [room(1)]);
  tell("two", [room(2)]);
  writes.count = 0;
  const answers = lane.reserve(names(4).map((id) => entry(id)));
  expect(
    answers
      .slice(0, 3)
      .map((answer) => (answer.outcome === "reserved" ? answer.session : ""))
      .toSorted(),
  ).toEqual(["one", "two", "two"]);
  expect(answers[0]).toEqual({ outcome: "reserved", session: "two" });
  expect(answers[3]).toEqual(waits);
  lane.unused(["p000"]);
  expect(lane.reserve([entry("q")])).toEqual([{ outcome: "reserved", session: "two" }]);
  expect(writes.count).toBe(0);
});

it("lets nobody past who waits for the same version, and past another's backlog everybody", () => {
  const { lane, tell } = setUp();
  lane.offer([entry("waits", { version: "slow" })]);
  tell("one", [room(1), room(1, { version: "slow" })]);
  expect(lane.reserve([entry("p", { version: "slow" })])).toEqual([waits]);
  expect(lane.reserve([entry("p")])).toMatchObject([{ outcome: "reserved" }]);
});

it("never sums the room of versions that may share a device", () => {
  const { lane, tell } = setUp();
  tell("one", [room(1), room(1, { version: "w" })]);
  expect(lane.reserve([entry("p"), entry("q", { version: "w" })])).toMatchObject([{ outcome: "reserved" }, waits]);
});

it("gives back what was reserved and not granted within 250 ms", () => {
  const { lane, tell, clock } = setUp();
  tell("one", [room(1)]);
  lane.reserve([entry("p")]);
  clock.now += 249;
  expect(lane.reserve([entry("q")])).toEqual([waits]);
  clock.now += 1;
  expect(lane.reserve([entry("q")])).toMatchObject([{ outcome: "reserved" }]);
  expect(lane.stats().inFlight).toBe(1);
});

it("holds a grant's room until the pool has seen it, and suspends who doesn't acknowledge within 500 ms", () => {
  const { lane, tell, clock, grant } = setUp();
  tell("one", [room(3)]);
  lane.reserve([entry("p")]);
  grant("one", [entry("p")]);
  expect(lane.reserve(["a", "b", "c"].map((id) => entry(id))).map(({ outcome }) => outcome)).toEqual([
    "reserved",
    "reserved",
    "waits",
  ]);
  lane.unused(["a", "b"]);
  clock.now += 499;
  expect(lane.due().tell).toEqual([]);
  clock.now += 1;
  expect(lane.due().tell).toEqual(["one"]);
  expect(lane.reserve([entry("d")])).toEqual([waits]);
  tell("one", [room(1)]);
  expect(lane.reserve([entry("d")])).toMatchObject([{ outcome: "reserved" }]);
});

it("takes an acknowledgement that comes before its shard's word", () => {
  const { lane, tell, grant, clock } = setUp();
  tell("one", [room(2)]);
  lane.reserve([entry("p")]);
  tell("one", [room(1)], ["p"], [{ id: "p", ms: 20 }]);
  grant("one", [entry("p")]);
  clock.now += 600;
  expect(lane.due().tell).toEqual([]);
  expect(lane.stats().inFlight).toBe(0);
});

it("ignores the rooms of a statement that was overtaken", () => {
  const { lane } = setUp();
  const report = { session: "one", full: true, seen: [], ended: [] };
  lane.tell({ ...report, n: 2, models: [room(0)] });
  lane.tell({ ...report, n: 1, models: [room(5)] });
  expect(lane.reserve([entry("p")])).toEqual([waits]);
});

it("gives a poll what it has room for, and that to nobody else for 1.5 s", () => {
  const { lane, poll, clock, writes } = setUp();
  lane.offer(names(5).map((id) => entry(id)));
  poll("one", 0);
  writes.count = 0;
  expect(poll("one", 2)).toEqual(["p000", "p001"]);
  expect(writes.count).toBe(0);
  expect(poll("two", 1)).toEqual(["p002"]);
  clock.now += 1500;
  expect(poll("two", 4)).toEqual(["p000", "p001", "p002", "p003"]);
});

it("takes out what is granted and withdrawn, and gives the tickets of what it knows again", () => {
  const { lane, poll, grant, open } = setUp();
  const first = lane.offer(names(4).map((id) => entry(id))).tickets;
  expect(first["p003"]).toEqual({ ownIndex: 3, upTo: 3 });
  grant("one", [entry("p000")]);
  lane.withdraw([entry("p001")]);
  expect(lane.offer([entry("p003"), entry("late", { createdAt: T0 + 1 })]).tickets).toEqual({
    p003: { ownIndex: 3, upTo: 3 },
    late: { ownIndex: 4, upTo: 4 },
  });
  expect(open().stats().waiting.normal).toBe(3);
  expect(poll("one", 9)).toEqual(["p002", "p003", "late"]);
});

it("counts once what news names twice, and goes on with what waits behind it", () => {
  const { lane, tell, poll, grant } = setUp();
  const [first, second] = [entry("a"), entry("b")];
  lane.offer([first, second]);
  grant("one", [first, first]);
  expect(lane.stats().waiting.normal).toBe(1);
  tell("two", [room(5)]);
  expect(poll("two", 5)).toEqual(["b"]);
  lane.withdraw([second, second]);
  lane.offer([entry("c")]);
  expect(lane.stats().waiting.normal).toBe(1);
});

it("gives what is handed on again its place by its age", () => {
  const { lane, poll, grant } = setUp();
  lane.offer(names(3).map((id) => entry(id, { createdAt: T0 + 5 })));
  expect(poll("one", 1)).toEqual(["p000"]);
  grant("one", [entry("p000", { createdAt: T0 + 5 })]);
  expect(lane.offer([entry("old")]).tickets["old"]?.ownIndex).toBe(0);
  expect(poll("one", 1)).toEqual(["old"]);
});

it("tells one of two sessions at once that there is work, again after 500 ms, and pushes what waited that long", () => {
  const { lane, tell, clock } = setUp();
  tell("one", [room(4)]);
  tell("two", [room(4)]);
  lane.offer([entry("p")]);
  expect(lane.due()).toMatchObject({ work: ["one"], nextAt: T0 + 500 });
  expect(lane.due().work).toEqual([]);
  clock.now += 500;
  const due = lane.due();
  expect([...due.pushes].map(([session, entries]) => [session, entries.map(({ id }) => id)])).toEqual([["one", ["p"]]]);
  clock.now += 1499;
  expect(lane.due().pushes.size).toBe(0);
  clock.now += 1;
  expect(lane.due().pushes.size).toBe(0);
  clock.now += 500;
  expect(lane.due().pushes.size).toBe(1);
});

it("tells a session of room or work that came in the same millisecond as its poll, and no more than once", () => {
  const { lane, tell, poll, clock } = setUp();
  tell("one", [room(0)]);
  lane.offer([entry("p")]);
  expect(poll("one", 0)).toEqual([]);
  tell("one", [room(1)]);
  expect(lane.due().work).toEqual(["one"]);
  expect(lane.due().work).toEqual([]);
  clock.now += 1;
  expect(lane.due().work).toEqual([]);
  expect(poll("one", 1)).toEqual(["p"]);
});

it("wakes no more of a thousand sessions than what waits needs", () => {
  const { lane, tell, poll, clock } = setUp();
  for (const session of names(1000, "s")) tell(session, [room(2)]);
  lane.offer(["p", "q", "r"].map((id) => entry(id)));
  const woken: string[] = [];
  for (let turn = 0; turn < 20; turn += 1) {
    woken.push(...lane.due().work);
    clock.now += 1;
  }
  expect(woken).toHaveLength(2);
  expect(poll(woken[0] ?? "", 2)).toEqual(["p", "q"]);
  expect(poll(woken[1] ?? "", 2)).toEqual(["r"]);
  lane.offer([entry("s")]);
  // Who is told and doesn't come holds nobody else up.
  expect(lane.due().work).toEqual([]);
  clock.now += 500;
  expect(lane.due().pushes.size + lane.due().work.length).toBeGreaterThan(0);
});

it("says nothing more once nothing waits", () => {
  const { lane, tell } = setUp();
  tell("one", [room(4)]);
  expect(lane.due()).toMatchObject({ work: [], tell: [], nextAt: null });
});

it("releases to a log as much as pools have room for, of each version", () => {
  const { lane, tell, grant } = setUp();
  lane.offer(names(100).map((id) => entry(id)));
  lane.offer(names(5, "q").map((id) => entry(id, { version: "w" })));
  expect(lane.release(500)).toHaveLength(64 + 5);
  lane.released(names(64), true);
  tell("one", [room(3)]);
  expect(lane.release(500)).toEqual([]);
  grant(
    "one",
    names(62).map((id) => entry(id)),
  );
  tell("one", [room(3)], names(62));
  expect(lane.release(500).map(({ id }) => id)).toEqual(["p064"]);
  lane.released(["p064"], false);
  expect(lane.release(500).map(({ id }) => id)).toEqual(["p064"]);
  expect(lane.releaseAgain()).toBe(3 + 5);
});

it("pushes what nobody claims from the log while a session has room", () => {
  const { lane, tell, clock } = setUp();
  lane.offer([entry("p")]);
  lane.release(10);
  lane.released(["p"], true);
  tell("one", [room(1)]);
  clock.now += 500;
  expect([...lane.due().pushes.keys()]).toEqual(["one"]);
  expect(lane.due().pushes.size).toBe(0);
});

it("fails what can't be set up anywhere for a minute, then lets one try", () => {
  const { lane, tell, clock, poll } = setUp();
  lane.offer(names(3).map((id) => entry(id)));
  tell("one", [room(0, { problem: "ImportError: no torch" })]);
  const [failed] = lane.due().fail;
  expect(failed?.entries.map(({ id }) => id)).toEqual(names(3));
  expect(failed?.error).toMatchObject({ code: "setup_failed", message: expect.stringContaining("no torch") as string });
  expect(lane.reserve([entry("x")])).toMatchObject([{ outcome: "failed" }]);
  expect(lane.offer([entry("x")]).failed).toHaveProperty("x");
  clock.now += 60_000;
  tell("one", [room(5, { readyInMs: null })]);
  lane.withdraw(names(3).map((id) => entry(id)));
  lane.offer([entry("x"), entry("y")]);
  expect(poll("one", 5)).toEqual(["x"]);
});

it("asks the sessions that it knew before its restart, and forgets those that are over", () => {
  const { tell, open, lane } = setUp();
  tell("one", [room(1)]);
  tell("two", [room(1)]);
  lane.gone("two");
  const reborn = open();
  expect(reborn.sessions()).toEqual(["one"]);
  expect(reborn.due().tell).toEqual(["one"]);
});

it("gives back what a session has in hand when it is over, also what it polled for before", () => {
  const { lane, poll } = setUp();
  lane.offer([entry("p")]);
  expect(poll("one", 1)).toEqual(["p"]);
  expect(poll("one", 0)).toEqual([]);
  lane.gone("one");
  expect(poll("two", 1)).toEqual(["p"]);
});

it("sets nobody back when what was handed out takes its place again", () => {
  const { lane, poll, clock } = setUp();
  const { tickets } = lane.offer(names(3).map((id) => entry(id)));
  const own = () =>
    (tickets["p002"]?.ownIndex ?? 0) - (lane.view([entry("p002")]).served["a normal local/echo v"]?.ownIndex ?? 0);
  expect(own()).toBe(2);
  poll("one", 1);
  expect(own()).toBe(1);
  clock.now += 1500;
  expect(lane.due().nextAt).toBe(clock.now + 500);
  expect(own()).toBe(1);
});

it("hands out no more at once than its memory is meant for", () => {
  const { tell, poll, lane } = setUp({ maxMarks: 2, maxRuns: 2 });
  tell("one", [room(9)]);
  expect(lane.reserve(names(3).map((id) => entry(id))).map(({ outcome }) => outcome)).toEqual([
    "reserved",
    "reserved",
    "waits",
  ]);
  lane.offer(names(5, "q").map((id) => entry(id)));
  expect(poll("two", 5)).toHaveLength(2);
  expect(lane.memory()).toMatchObject({ marks: 2, runs: 2 });
});

it("keeps few of the waiting in memory, whoever they are of", () => {
  const { lane, poll } = setUp();
  for (let account = 0; account < 400; account += 1) {
    lane.offer(names(60, `${account}-`).map((id) => entry(id, { account: `a${account}` })));
  }
  expect(lane.memory().loaded).toBeLessThanOrEqual(8192 + 400);
  expect(new Set(poll("one", 100)).size).toBe(100);
});

it("judges no version after its start by the first host that it hears", () => {
  const { lane, tell, open } = setUp();
  lane.offer([entry("p")]);
  tell("one", [room(1)]);
  tell("two", [room(1)]);
  const reborn = open();
  const statement = { n: 99, full: true, seen: [], ended: [] };
  reborn.tell({ ...statement, session: "one", models: [room(0, { problem: "no driver" })] });
  expect(reborn.due().fail).toEqual([]);
  reborn.tell({ ...statement, session: "two", models: [] });
  expect(reborn.due().fail).toHaveLength(1);
});

it("looks at no other session where nothing is wrong with any", () => {
  const { lane, tell } = setUp();
  const sessions = names(50, "s");
  for (const session of sessions) tell(session, [room(1)]);
  const judged = vi.spyOn(lane.verdicts, "judge");
  const looked = vi.spyOn(lane.credit.sessions, "values");
  tell("s1", [room(1)]);
  lane.due();
  expect([judged.mock.calls.length, looked.mock.calls.length]).toEqual([0, 0]);
  tell("s1", [room(0, { problem: "no driver" })]);
  expect(judged.mock.calls.length).toBe(1);
  tell("s1", [room(1)]);
  lane.gone("s1");
  tell("s2", [room(1)]);
  expect(judged.mock.calls.length).toBe(1);
});

it("counts on what a poll says, also where the pool can state nothing on its channel", () => {
  const { lane, clock } = setUp();
  lane.offer([entry("a"), entry("b")]);
  const rooms = new Map([["local/echo v", { room: 1, startNow: 1 }]]);
  expect(lane.take("blind", rooms, 10).map(({ id }) => id)).toEqual(["a"]);
  // It polls again before the shard's news of the grant comes.
  lane.take("blind", new Map(), 10);
  lane.granted([{ ...entry("a"), session: "blind" }]);
  clock.now += 600;
  lane.due();
  expect(lane.take("blind", rooms, 10).map(({ id }) => id)).toEqual(["b"]);
});
