/** What a shard that starts again feeds and hands on: what may not have left, and not all that it ever stored. */
import { expect, it } from "vitest";
import { FEED_SHARES } from "./outgoing.ts";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Submission } from "./types.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";

function setUp() {
  const clock = { now: 1_000_000 };
  const sql = memorySql();
  let count = 0;
  const open = () => {
    const core = new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => "token" });
    core.recovery.begin();
    while (core.recovery.more());
    return core;
  };
  /** Ends before the index can have it. */
  const end = (core: ShardCore): string => {
    const id = accept(core);
    core.cancel(id, "account");
    return id;
  };
  const accept = (core: ShardCore, overrides: Partial<Submission> = {}): string => {
    const id = `p${String((count += 1)).padStart(6, "0")}`;
    core.submit({ ...submission(id), ...overrides });
    return id;
  };
  return { clock, sql, open, end, accept };
}

const fedOf = (core: ShardCore) => [...core.outgoing.feeds.values()].flat().map(({ id }) => id);

function acknowledge(core: ShardCore): void {
  for (const entries of core.outgoing.feeds.values()) core.outgoing.acknowledgeFeed(entries);
  core.outgoing.feeds.clear();
}

it("feeds after a crash what ended since the index had all, and nothing from before", () => {
  const { clock, open, end } = setUp();
  const core = open();
  for (let count = 0; count < 20; count += 1) end(core);
  acknowledge(core);
  core.wake();
  clock.now += 1;
  const last = end(core);
  expect(fedOf(open())).toEqual([last]);
});

it("moves its note on while there is always something that the index has yet to acknowledge", () => {
  const { clock, open, end } = setUp();
  const core = open();
  for (let minute = 0; minute < 5; minute += 1) {
    acknowledge(core);
    end(core);
    core.wake();
    clock.now += 60_000;
  }
  acknowledge(core);
  const last = end(core);
  core.wake();
  expect(fedOf(open())).toEqual([last]);
});

it("says of an offer that it came back until it leaves, and not when a sweep or a start repeats it", () => {
  const { clock, open, accept } = setUp();
  const core = open();
  const id = accept(core);
  const offered = (by: ShardCore) => [...(by.outgoing.hands.get("default")?.values() ?? [])];
  expect(offered(core)).toEqual([expect.not.objectContaining({ isBack: true })]);
  core.claim({ session: "s", jobs: [{ id, startNow: false }] }, ["default"]);
  core.deliver([{ id, token: "token", seq: 0, type: "released", reason: "unseen" }], "s", ["default"]);
  expect(offered(core)).toMatchObject([{ id, isBack: true }]);
  clock.now += defaultRules.sweepMs;
  core.wake();
  expect(offered(core)).toMatchObject([{ id, isBack: true }]);
  core.outgoing.hands.clear();
  expect(offered(open())).toEqual([expect.not.objectContaining({ isBack: true })]);
  clock.now += defaultRules.sweepMs * 2;
  core.wake();
  expect(offered(core)).toEqual([expect.not.objectContaining({ isBack: true })]);
});

it("hands on and feeds however many there are, without reading their inputs", () => {
  const { sql, open, accept, end } = setUp();
  const core = open();
  const waiting = Array.from({ length: 1500 }, () => accept(core));
  const ended = Array.from({ length: 1500 }, () => end(core));
  const read: string[] = [];
  const spied: typeof sql = (query, ...bindings) => {
    const rows = sql(query, ...bindings);
    read.push(...rows.flatMap((row) => Object.keys(row)));
    return rows;
  };
  const reborn = new ShardCore(spied, { rules: defaultRules, now: () => 1_000_000, newToken: () => "token" });
  reborn.recovery.begin();
  while (reborn.recovery.more());
  expect([...(reborn.outgoing.hands.get("default")?.keys() ?? [])].toSorted()).toEqual(waiting);
  expect(fedOf(reborn).toSorted()).toEqual([...waiting, ...ended].toSorted());
  expect(read).not.toContain("input");
});

it("knows the note of a shard that is older than its time", () => {
  const { sql, open, end } = setUp();
  sql("CREATE TABLE note (name TEXT PRIMARY KEY) WITHOUT ROWID");
  const id = end(open());
  sql("DELETE FROM note");
  sql("INSERT INTO note (name) VALUES ('unfed')");
  expect(fedOf(open())).toEqual([id]);
});

it("hands on all that waits when its lane knows nothing, also what a sweep has handed on", () => {
  const { clock, open, end, accept } = setUp();
  const core = open();
  const [swept, fresh] = [accept(core), accept(core)];
  end(core);
  clock.now += defaultRules.sweepMs;
  core.wake();
  const again = open();
  again.outgoing.hands.clear();
  again.recovery.handOnAgain();
  while (again.recovery.more());
  expect([...(again.outgoing.hands.get("default")?.keys() ?? [])].toSorted()).toEqual([swept, fresh].toSorted());
});

/** The index is back: what it gets until nothing is left. */
function drain(core: ShardCore): Set<string> {
  const indexed = new Set<string>();
  while (core.outgoing.feeds.size > 0) {
    for (const id of fedOf(core)) indexed.add(id);
    acknowledge(core);
    core.wake();
    while (core.recovery.more());
  }
  return indexed;
}

it("keeps no more for an index that is away than its share, loses nothing of it, and feeds the others", () => {
  const { open, end, accept } = setUp();
  const core = open();
  const many = FEED_SHARES.perHolder + 600;
  const ids = Array.from({ length: many }, (_, index) => (index % 2 === 0 ? end(core) : accept(core)));
  const other = accept(core, { accountId: "other" });
  expect(core.outgoing.feeds.get("account")).toHaveLength(FEED_SHARES.perHolder);
  expect(core.outgoing.feeds.get("other")?.map(({ id }) => id)).toEqual([other]);
  core.wake();
  expect(core.recovery.more()).toBe(false);
  expect([...drain(core)].toSorted()).toEqual([...ids, other].toSorted());
});

it("finds after a crash what was not kept for an index that is away", () => {
  const { open, end } = setUp();
  const core = open();
  const ids = Array.from({ length: FEED_SHARES.perHolder + 10 }, () => end(core));
  acknowledge(core);
  core.wake();
  expect([...drain(open())].toSorted()).toEqual(ids);
});

it("hands on all that waits until lanes have it, however often it starts meanwhile", () => {
  const { clock, open, accept } = setUp();
  const core = open();
  const ids = [accept(core), accept(core)];
  // Long after, their next sweep is far off.
  for (let sweeps = 0; sweeps < 12; sweeps += 1) {
    clock.now = core.wakes.nextAt() ?? clock.now;
    core.wake();
  }
  const handed = (one: ShardCore) => [...(one.outgoing.hands.get("default")?.keys() ?? [])];
  expect(handed(open())).toEqual([]);
  open().recovery.handOnAgain();
  expect(handed(open()).toSorted()).toEqual(ids);
  const again = open();
  expect(handed(again).toSorted()).toEqual(ids);
  again.recovery.handedOn();
  expect(handed(open())).toEqual([]);
});

it("is not through with what it hands on again before it has seen all rows", () => {
  const { sql, open } = setUp();
  open().recovery.handOnAgain();
  const started = new ShardCore(sql, { rules: defaultRules, now: () => 1_000_000, newToken: () => "token" });
  started.recovery.begin();
  started.recovery.handedOn();
  expect(started.store.isHanding()).toBe(true);
  while (started.recovery.more());
  started.recovery.handedOn();
  expect(started.store.isHanding()).toBe(false);
});
