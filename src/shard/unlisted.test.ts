/**
 * What is granted as it is accepted costs no entry in the index of what falls due, and is looked after all the same.
 */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Submission } from "./types.ts";

const SESSION = "session";
const LANES = ["default"];

function setUp(unlistedFrom = 1) {
  const clock = { now: 1_800_000_000_000 };
  const stored = memorySql();
  const read: string[] = [];
  const sql: typeof stored = (query, ...bindings) => {
    const rows = stored(query, ...bindings);
    if (query.startsWith("SELECT id, wake_at")) read.push(...rows.map(({ id }) => String(id)));
    return rows;
  };
  const deps = { rules: { ...defaultRules, unlistedFrom }, now: () => clock.now, newToken: () => "token" };
  const open = () => {
    const core = new ShardCore(sql, deps);
    core.recovery.begin();
    while (core.recovery.more());
    return core;
  };
  const accept = (core: ShardCore, overrides: Partial<Submission> = {}): string => {
    const id = newPredictionId(1, clock.now);
    core.submit({ ...submission(id), keyed: false, ...overrides }, { outcome: "reserved", session: SESSION });
    return id;
  };
  const end = (core: ShardCore, id: string) =>
    core.deliver([{ id, token: "token", seq: 0, type: "succeeded", output: 1 }], SESSION, LANES);
  const wakeAt = (id: string) => stored("SELECT wake_at FROM prediction WHERE id = ?", id)[0]?.["wake_at"];
  const isMarked = () => stored("SELECT * FROM unlisted").length > 0;
  return { clock, stored, read, open, accept, end, wakeAt, isMarked };
}

it("lists a row when it ends", () => {
  const { open, accept, end, wakeAt, clock } = setUp();
  const core = open();
  const id = accept(core);
  expect(wakeAt(id)).toBeNull();
  expect(core.wakes.nextAt()).toBe(clock.now + defaultRules.firstCheckMs);
  end(core, id);
  expect(wakeAt(id)).toBe(clock.now + defaultRules.retentionMs);
  expect(core.wakes.nextAt()).toBe(clock.now + defaultRules.retentionMs);
});

it("lists a row that is still there when it is due, and asks its pool", () => {
  const { open, accept, wakeAt, clock } = setUp();
  const core = open();
  const id = accept(core);
  clock.now += defaultRules.firstCheckMs;
  expect(core.wake().checks.get(SESSION)).toEqual([id]);
  expect(wakeAt(id)).toBe(clock.now + defaultRules.leaseMs);
});

it("lists a row that is handed back: what waits is found in the index", () => {
  const { open, accept, wakeAt, clock } = setUp();
  const core = open();
  const id = accept(core);
  core.granting.undelivered([{ id, token: "token" }]);
  expect(core.isWaiting(id)).toBe(true);
  expect(wakeAt(id)).toBe(clock.now + defaultRules.sweepMs);
});

it("finds them after a crash, without looking through what came before or has the id of a client's key", () => {
  const { open, accept, end, wakeAt, clock, read, stored } = setUp();
  const core = open();
  for (let second = 0; second < 100; second += 1) {
    end(core, accept(core));
    accept(core, { keyed: true });
    core.submit({ ...submission(`00zz${String(second)}`) });
    core.wake();
    clock.now += 1000;
  }
  const runs = accept(core);
  const reborn = open();
  expect(wakeAt(runs)).toBe(clock.now);
  expect(read).toContain(runs);
  expect(read.length).toBeLessThanOrEqual(30);
  expect(stored("SELECT * FROM prediction").filter(({ wake_at: at }) => at === null)).toEqual([]);
  clock.now += defaultRules.firstCheckMs;
  expect(reborn.wake().checks.get(SESSION)).toContain(runs);
});

it("lists what comes late, or with an id that its client's key made", () => {
  const { open, accept, wakeAt, clock } = setUp();
  const core = open();
  accept(core);
  clock.now -= 5000;
  const late = accept(core);
  clock.now += 5000;
  expect(wakeAt(late)).not.toBeNull();
  expect(wakeAt(accept(core, { keyed: true }))).not.toBeNull();
});

it("writes no mark while hardly any is granted at once, and drops it when that is over", () => {
  const { open, accept, end, wakeAt, isMarked, clock } = setUp(3);
  const core = open();
  for (let count = 0; count < 5; count += 1) {
    const id = accept(core);
    expect(wakeAt(id)).not.toBeNull();
    end(core, id);
    core.wake();
    clock.now += 2000;
  }
  expect(isMarked()).toBe(false);
  const ids = Array.from({ length: 4 }, () => accept(core));
  expect(isMarked()).toBe(true);
  expect(ids.map(wakeAt).filter((at) => at === null)).toHaveLength(2);
  for (const id of ids) end(core, id);
  core.wake();
  core.wake();
  expect(isMarked()).toBe(false);
});
