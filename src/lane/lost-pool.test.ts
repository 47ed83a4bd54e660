/** A pool dies with what it ran: where that takes its place again, and what its account pays for it. */
import { expect, it } from "vitest";
import { LaneSim } from "../../test/unit/lane-sim.ts";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { LaneCore } from "./core.ts";
import type { LaneRules } from "./rules.ts";
import type { LaneEntry } from "./types.ts";

const ACCOUNTS = ["a", "b", "c"];
const VERSIONS = ["v", "w"];
const RUN_MS = 300;

/** Two pools of six slots; of each account and version ten wait at any time. */
function contend() {
  const sim = new LaneSim();
  for (const pool of ["one", "two"]) sim.addPool(pool, 6, VERSIONS, 2);
  let made = 0;
  const submit = (account: string, version: string) => {
    made += 1;
    sim.submit([{ id: `j${String(made).padStart(7, "0")}`, account, version, runMs: RUN_MS }]);
  };
  sim.onStart = ({ account, version }) => submit(account, version);
  for (let count = 0; count < 10; count += 1)
    for (const account of ACCOUNTS) for (const version of VERSIONS) submit(account, version);
  return sim;
}

it("runs what a dead pool ran before anything newer of its account and version, and keeps everybody's share", () => {
  const sim = contend();
  sim.run(5000);
  const lost = sim.kill("one", 1000);
  expect(lost.length).toBeGreaterThanOrEqual(6);
  sim.run(1000);
  // What a pool took before the hand-back is on its way.
  const backAt = sim.now + 10;
  sim.run(30_000);
  const starts = sim.starts.filter(({ at }) => at >= backAt);
  for (const id of lost) {
    const again = starts.findIndex((start) => start.id === id);
    expect(again, `${id} runs again`).toBeGreaterThanOrEqual(0);
    const { account, version } = starts[again] ?? { account: "", version: "" };
    const newer = starts.findIndex(
      (start) => start.account === account && start.version === version && start.id > id && !lost.includes(start.id),
    );
    expect(again, `${id} before what is newer`).toBeLessThan(newer);
  }
  const runsOf = (account: string) => starts.filter((start) => start.account === account).length;
  for (const account of ACCOUNTS) expect(runsOf(account) / (starts.length / ACCOUNTS.length)).toBeCloseTo(1, 1);
});

function setUp(rules: Partial<LaneRules> = {}) {
  const lane = new LaneCore(memorySql(), { now: () => 1_000_000, rules });
  const entry = (id: string): LaneEntry => ({
    ...{ id, account: id.slice(0, 1), weight: 1, priority: "normal", cost: 1, model: "local/echo", version: "v" },
    ...{ createdAt: 1_000_000 + Number(id.slice(1)), startBy: 2_000_000, traceparent: null },
  });
  const take = (session: string, count: number) => {
    const taken = lane.take(session, new Map([["local/echo v", { room: count, startNow: count }]]), count);
    lane.granted(taken.map((one) => ({ ...one, session })));
    return taken.map(({ id }) => id);
  };
  const comeBack = (...ids: string[]) => lane.offer(ids.map((id) => ({ ...entry(id), isBack: true as const })));
  const comeBackPaid = (...ids: string[]) =>
    lane.offer(ids.map((id) => ({ ...entry(id), isBack: true as const, isPaid: true as const })));
  const ended = (session: string, ids: readonly string[], ms: number) =>
    lane.tell({ session, n: 1, full: true, models: [], seen: [], ended: ids.map((id) => ({ id, ms })) });
  return { lane, entry, take, comeBack, comeBackPaid, ended };
}

const names = (account: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${account}${from + index}`);

/** In turn, `a` had four at the pool `one`, which holds them, and `b` four runs of a second; of both more wait. */
function setUpLoss() {
  const { lane, entry, ...rest } = setUp();
  lane.offer([...names("a", 1, 8), ...names("b", 1, 8)].map(entry));
  for (let turn = 1; turn <= 4; turn += 1) {
    expect(rest.take("one", 1)).toEqual([`a${turn}`]);
    expect(rest.take("two", 1)).toEqual([`b${turn}`]);
  }
  rest.ended("two", names("b", 1, 4), 1000);
  return { lane, entry, ...rest };
}

it("charges an account nothing for what was lost with its pool", () => {
  const { lane, take, comeBack } = setUpLoss();
  lane.gone("one");
  comeBack(...names("a", 1, 4));
  expect(take("two", 4)).toEqual(names("a", 1, 4));
  expect(take("two", 4).toSorted()).toEqual(["a5", "a6", "b5", "b6"]);
});

it("gives that back once, in whichever order the pool's end and what came back are heard of", () => {
  const { lane, take, comeBack } = setUpLoss();
  comeBack(...names("a", 1, 2));
  lane.gone("one");
  comeBack(...names("a", 1, 4));
  lane.gone("one");
  comeBack(...names("a", 1, 4));
  expect(take("two", 4)).toEqual(names("a", 1, 4));
  expect(take("two", 4).toSorted()).toEqual(["a5", "a6", "b5", "b6"]);
});

it.each(["before", "after"])(
  "charges an account for runs that killed their pool alone, told %s the pool's end",
  (when) => {
    const { lane, take, comeBackPaid } = setUpLoss();
    if (when === "after") lane.gone("one");
    comeBackPaid(...names("a", 1, 4));
    if (when === "before") lane.gone("one");
    comeBackPaid(...names("a", 1, 4));
    expect(lane.memory()).toMatchObject({ runs: 0, lost: 0 });
    expect(take("two", 2).toSorted()).toEqual(["a1", "b5"]);
  },
);

it("charges what a run took of a pool that was only cut off, and tells it later", () => {
  const { lane, take, ended } = setUpLoss();
  lane.gone("one");
  ended("one", names("a", 1, 4), 1);
  expect(lane.memory().lost).toBe(0);
  expect(take("two", 4)).toEqual(names("a", 5, 8));
});

it("begins nothing that ended with its pool's next session before its shard told of the grant", () => {
  const { lane, entry, ended } = setUp();
  const model = { model: "local/echo", version: "v", room: 1, startNow: 1, readyInMs: null, problem: null };
  lane.tell({ session: "one", n: 1, full: true, models: [model], seen: [], ended: [] });
  expect(lane.reserve([entry("a1")])).toMatchObject([{ outcome: "reserved" }]);
  lane.tell({ session: "one", n: 2, full: false, models: [], seen: ["a1"], ended: [] });
  lane.gone("one");
  expect(lane.memory().lost).toBe(1);
  ended("two", ["a1"], 5);
  lane.granted([{ ...entry("a1"), session: "one" }]);
  expect(lane.memory()).toMatchObject({ runs: 0, lost: 0 });
});

it("remembers no more of what was lost than its memory is meant for", () => {
  const { lane, entry, take } = setUp({ maxEnded: 2 });
  lane.offer(names("a", 1, 4).map(entry));
  take("one", 4);
  lane.gone("one");
  expect(lane.memory()).toMatchObject({ runs: 0, lost: 2 });
});

it("begins nothing that ended while its shard could not reach the lane for minutes", () => {
  let now = 1_000_000;
  const lane = new LaneCore(memorySql(), { now: () => now });
  const entry = (id: string): LaneEntry => ({
    ...{ id, account: "a", weight: 1, priority: "normal", cost: 1, model: "local/echo", version: "v" },
    ...{ createdAt: now, startBy: now + 60_000, traceparent: null },
  });
  const model = { model: "local/echo", version: "v", room: 1, startNow: 1, readyInMs: 0, problem: null };
  let n = 0;
  const tell = (...ended: string[]) => {
    n += 1;
    const told = ended.map((id) => ({ id, ms: 5 }));
    lane.tell({ session: "one", n, full: true, models: [model], seen: ended, ended: told });
  };
  tell();
  const [late, other] = [entry("a1"), entry("a2")];
  lane.reserve([late]);
  tell("a1");
  now += 300_000;
  lane.reserve([other]);
  tell("a2");
  lane.granted([{ ...late, session: "one" }]);
  lane.granted([{ ...other, session: "one" }]);
  // Else its machine would seem to be busy for a day.
  expect(lane.stats().inFlight).toBe(0);
});
