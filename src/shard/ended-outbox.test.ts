/** Ends that are to be published survive restarts and logs that are away, and nothing is written for them but a mark. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Sql } from "./sql.ts";

function setUp(publishes = true) {
  const stored = memorySql();
  const clock = { now: 1_000_000 };
  const marks = { written: 0 };
  const sql: Sql = (query, ...bindings) => {
    if (query.startsWith("INSERT OR REPLACE INTO ended_mark")) marks.written += 1;
    return stored(query, ...bindings);
  };
  const open = (active = publishes) =>
    new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => "token", publishes: active });
  return { open, clock, marks };
}

function end(core: ShardCore, from: number, count: number): string[] {
  const ids = Array.from({ length: count }, (_, index) => `p${String(from + index).padStart(6, "0")}`);
  for (const id of ids) {
    core.submit({ ...submission(id), accountId: "account" });
    core.cancel(id, "account");
  }
  return ids;
}

/** Publishes all that is pending, as far as `upTo`, and answers the ids in their order. */
function publish(core: ShardCore, upTo = Infinity): string[] {
  const ids: string[] = [];
  while (core.ended.isPending() && ids.length < upTo) {
    const batch = core.ended.first(200);
    ids.push(...batch.map(({ id }) => id));
    core.ended.settle(batch);
  }
  return ids;
}

it("publishes every end once, in order, with two marks for all of them", () => {
  const { open, marks } = setUp();
  const core = open();
  const ids = end(core, 0, 300);
  expect(publish(core)).toEqual(ids);
  core.ended.rest();
  expect(marks.written).toBe(2);
  expect(publish(open())).toEqual([]);
});

it("finds again what was not published when the object is lost, however much that is", () => {
  const { open } = setUp();
  const core = open();
  const ids = end(core, 0, 5000);
  expect(publish(core, 1000)).toEqual(ids.slice(0, 1000));
  const next = open();
  const more = end(next, 5000, 10);
  const left = publish(next);
  expect(left.slice(-4010)).toEqual([...ids.slice(1000), ...more]);
  expect(left.length).toBeLessThan(4510 + 10);
  next.ended.rest();
  expect(open().ended.isPending()).toBe(false);
});

it("keeps the order of ends that come while it looks through its rows", () => {
  const { open } = setUp();
  const ids = end(open(), 0, 1500);
  const next = open();
  expect(next.ended.first(200)).toEqual([]);
  expect(next.ended.isSearching()).toBe(true);
  // The rows of some stand where was looked, and of others where will be.
  next.submit({ ...submission("a-first"), accountId: "account" });
  next.cancel("a-first", "account");
  const more = ["a-first", ...end(next, 1500, 20)];
  expect(publish(next)).toEqual([...ids, ...more]);
  const [last] = end(next, 1520, 1);
  expect(publish(open())).toEqual([last]);
});

it("never gives a number twice, however often it is lost before it could note what was published", () => {
  const { open } = setUp();
  const seqs = Array.from({ length: 5 }, (_, life) => {
    const core = open();
    const [id = ""] = end(core, life, 1);
    return core.store.get(id)?.endSeq ?? 0;
  });
  expect(new Set(seqs).size).toBe(5);
  expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
});

it("numbers ends on after a restart without pending ones", () => {
  const { open } = setUp();
  const core = open();
  end(core, 0, 3);
  publish(core);
  core.ended.rest();
  const next = open();
  const [id] = end(next, 3, 1);
  expect(next.store.get(id ?? "")?.endSeq).toBe(4);
  expect(publish(open())).toEqual([id]);
});

it("keeps a prediction's data until its end is published", () => {
  const { open, clock } = setUp();
  const core = open();
  const [id = ""] = end(core, 0, 1);
  clock.now += defaultRules.retentionMs + 1;
  expect(core.wake().expired).toEqual([]);
  publish(core);
  clock.now += defaultRules.sweepMs + 1;
  expect(core.wake().expired).toMatchObject([{ id }]);
});

it("notes nothing while no topic is on, and publishes what was pending when one is on again", () => {
  const { open, marks } = setUp(false);
  end(open(), 0, 5);
  expect(marks.written).toBe(0);
  const on = open(true);
  const ids = end(on, 5, 2);
  const off = open(false);
  end(off, 7, 1);
  expect(off.ended.isPending()).toBe(false);
  expect(publish(open(true))).toEqual(ids);
});
