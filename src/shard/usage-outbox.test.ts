/** Usage is taken once by each account's object, in order, over restarts and objects that are away. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Sql } from "./sql.ts";
import { usageRecords } from "./usage-records.ts";

const START = 1_700_000_000_000;

function setUp() {
  const stored = memorySql();
  const clock = { now: START };
  const marks = { written: 0 };
  const sql: Sql = (query, ...bindings) => {
    if (query.startsWith("INSERT OR REPLACE INTO usage_mark")) marks.written += 1;
    return stored(query, ...bindings);
  };
  const open = () =>
    new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => "token", meters: true });
  return { open, clock, marks, sql };
}

let made = 0;
/** Predictions that a cache answers: each has one record. Their ids are in no order. */
function end(core: ShardCore, account: string, count: number): string[] {
  return Array.from({ length: count }, () => {
    made += 1;
    const id = `p${String((made * 7919) % 1_000_003).padStart(7, "0")}`;
    core.submit({ ...submission(id), accountId: account, answer: { output: "known", yielded: false } });
    return `${id}.0`;
  });
}

/** An account's object: it takes what is above the highest number that it has. */
function createTaker() {
  const highest = new Map<string, number>();
  const taken: string[] = [];
  return {
    taken,
    /** `settles` false: its answer is lost. */
    take(core: ShardCore, account: string, limit = 500, settles = true): void {
      const batch = core.usage.first(account, limit);
      for (const { id, n } of batch) {
        const row = core.store.get(id);
        for (const one of row === null ? [] : usageRecords(row, new Set([n]))) {
          if (one.n <= (highest.get(account) ?? 0)) continue;
          highest.set(account, one.n);
          taken.push(one.record.id);
        }
      }
      if (settles) core.usage.settle(account, batch);
    },
    takeAll(core: ShardCore): void {
      while (core.usage.isPending()) {
        core.usage.search();
        for (const account of core.usage.accounts()) this.take(core, account);
      }
    },
  };
}

it("hands each record on once, in the order of its end, with two marks for all of them", () => {
  const { open, marks } = setUp();
  const core = open();
  const ids = end(core, "a", 300);
  const taker = createTaker();
  taker.takeAll(core);
  expect(taker.taken).toEqual(ids);
  core.usage.rest();
  expect(marks.written).toBe(1);
  // A shard in use has its mark already.
  for (let round = 0; round < 10; round += 1) {
    ids.push(...end(core, "a", 1));
    taker.takeAll(core);
    core.usage.rest();
  }
  expect(marks.written).toBe(1);
  core.usage.rest();
  expect(marks.written).toBe(2);
  expect(taker.taken).toEqual(ids);
  expect(open().usage.isPending()).toBe(false);
});

it("finds again what was not taken when the object is lost, however much that is", () => {
  const { open } = setUp();
  const core = open();
  const ids = end(core, "a", 5000);
  const taker = createTaker();
  taker.take(core, "a", 1000);
  const next = open();
  const more = end(next, "a", 10);
  taker.takeAll(next);
  expect(taker.taken).toEqual([...ids, ...more]);
  next.usage.rest();
  next.usage.rest();
  expect(open().usage.isPending()).toBe(false);
});

it("lets an account whose object is away hold up no other, however much it has", () => {
  const { open } = setUp();
  const core = open();
  const away = end(core, "away", 3000);
  const taker = createTaker();
  const here = end(core, "here", 5);
  while (core.usage.accounts().includes("here")) taker.take(core, "here");
  expect(taker.taken).toEqual(here);
  const later = end(core, "away", 20);
  taker.takeAll(core);
  expect(taker.taken).toEqual([...here, ...away, ...later]);
});

it("gives no number again that it gave before it was put back from a backup", () => {
  const { open, clock, sql } = setUp();
  const copy = memorySql();
  const core = open();
  const taker = createTaker();
  const before = end(core, "a", 3);
  taker.takeAll(core);
  // The backup was made when nothing had ended.
  clock.now += 60_000;
  const again = new ShardCore(copy, {
    rules: defaultRules,
    now: () => clock.now,
    newToken: () => "token",
    meters: true,
  });
  const after = end(again, "a", 2);
  taker.takeAll(again);
  expect(taker.taken).toEqual([...before, ...after]);
  expect(sql).not.toBe(copy);
});

it("keeps a row until its usage is taken, however long that is", () => {
  const { open, clock } = setUp();
  const core = open();
  const [record = ""] = end(core, "a", 1);
  const id = record.split(".")[0] ?? "";
  clock.now += 30 * 86_400_000;
  expect(core.wake().expired).toEqual([]);
  const taker = createTaker();
  taker.takeAll(core);
  clock.now += 86_400_000;
  expect(core.wake().expired.map((one) => one.id)).toEqual([id]);
  expect(taker.taken).toEqual([record]);
});

it("is taken once, whatever dies when, and whosever answer is lost", () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ type: fc.constant("end" as const), account: fc.nat(2), count: fc.nat(40) }) },
      {
        weight: 4,
        arbitrary: fc.record({ type: fc.constant("take" as const), account: fc.nat(2), count: fc.nat(60) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constant("lost" as const), account: fc.nat(2), count: fc.nat(60) }),
      },
      { weight: 1, arbitrary: fc.constant({ type: "restart" as const, account: 0, count: 0 }) },
      { weight: 1, arbitrary: fc.constant({ type: "rest" as const, account: 0, count: 0 }) },
      { weight: 2, arbitrary: fc.constant({ type: "search" as const, account: 0, count: 0 }) },
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: -100_000, max: 100_000 }), (list, jumpMs) => {
      const { open, clock } = setUp();
      let core = open();
      const taker = createTaker();
      const ended: string[] = [];
      for (const { type, account, count } of list) {
        clock.now += 10;
        const name = `account-${account}`;
        if (type === "end") ended.push(...end(core, name, count));
        else if (type === "take") taker.take(core, name, count);
        else if (type === "lost") taker.take(core, name, count, false);
        else if (type === "search") core.usage.search();
        else if (type === "rest") core.usage.rest();
        else {
          clock.now += jumpMs;
          core = open();
        }
      }
      taker.takeAll(core);
      expect(taker.taken.toSorted()).toEqual(ended.toSorted());
    }),
    { numRuns: 60 },
  );
});
