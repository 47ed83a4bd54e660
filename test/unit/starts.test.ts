/**
 * Objects that hold a quarter of a million rows start, and do their first work, without going through them: `memorySql`
 * refuses a statement whose plan scans a large table, and the rows that each step is given are counted.
 */
import { expect, it } from "vitest";
import { LaneCore } from "../../src/lane/core.ts";
import { createRows } from "../../src/lane/rows.ts";
import { ShardCore } from "../../src/shard/core.ts";
import { defaultRules } from "../../src/shard/rules.ts";
import type { Sql } from "../../src/shard/sql.ts";
import { Dispatcher, defaultLimits } from "../../src/webhooks/dispatcher.ts";
import { createStore } from "../../src/webhooks/store.ts";
import { memorySql } from "./memory-sql.ts";
import { submission } from "./submission.ts";
import { message } from "./webhook-world.ts";

const ROWS = 250_000;
/** What is published ends this many rows before the last. */
const UNPUBLISHED = 1000;
const NOW = 1_800_000_000_000;
const NUMBERS = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS} - 1)`;

function counted(sql: Sql): { sql: Sql; most: () => number } {
  let most = 0;
  return {
    sql(query, ...bindings) {
      const rows = sql(query, ...bindings);
      most = Math.max(most, rows.length);
      return rows;
    },
    most: () => most,
  };
}

it("a shard", { timeout: 60_000 }, () => {
  const stored = memorySql();
  const deps = { rules: defaultRules, now: () => NOW, newToken: () => "token", publishes: true };
  const first = new ShardCore(stored, deps);
  first.submit({ ...submission("z-waits"), webhook: "https://example.com/", webhookEvents: ["completed"] });
  const [row] = stored("SELECT * FROM prediction");
  const [accepted = "", changing = ""] = [row?.["accepted"], row?.["changing"]].map(String);
  stored(
    `INSERT INTO prediction (id, state, hands, fed, wake_at, changing, accepted)
     ${NUMBERS} SELECT printf('p%07d', i), 'canceled', 0, i % 1000 <> 0, ${NOW} + 80000000 + i, '{"endSeq":' || (i + 1) || '}', ? FROM n`,
    accepted,
  );
  stored(
    `INSERT INTO prediction (id, state, hands, fed, wake_at, changing, accepted)
     WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
     SELECT printf('w%07d', i), 'waiting', 0, 1, ${NOW} + 30000, ?, ? FROM n`,
    changing,
    accepted,
  );
  stored(
    `INSERT INTO webhook_outbox ${NUMBERS}
     SELECT ${NOW} - 100000000 + i, 'msg_other' || i || '_completed', '{"snapshot":{"id":"other"}}' FROM n`,
  );
  stored("INSERT OR REPLACE INTO ended_mark VALUES (1, ?, 1, 2000000)", ROWS - UNPUBLISHED);
  first.store.noteUnfed(0);
  const { sql, most } = counted(stored);
  const core = new ShardCore(sql, deps);
  core.recovery.begin();
  expect(core.recovery.more()).toBe(true);
  core.wake();
  expect(core.ended.first(200)).toEqual([]);
  expect(core.ended.isPending()).toBe(true);
  core.store.webhooks(50, null);
  core.cancel("z-waits", "account");
  core.removeData("z-waits", "account");
  core.recovery.handOnAgain();
  core.recovery.more();
  expect(most()).toBeLessThanOrEqual(1000);
  while (core.recovery.more());
  expect(core.outgoing.hands.get("default")?.size).toBe(2000);
  let ended = core.ended.first(200);
  while (core.ended.isSearching()) ended = core.ended.first(200);
  expect(ended.map(({ seq }) => seq)).toEqual(
    Array.from({ length: 200 }, (_, index) => ROWS - UNPUBLISHED + 1 + index),
  );
  expect(most()).toBeLessThanOrEqual(1000);
});

it("a lane", { timeout: 60_000 }, () => {
  const stored = memorySql();
  createRows(stored);
  stored(
    `INSERT INTO flow ${NUMBERS} SELECT i, 'normal', 'account-' || i, 'local/echo', 'v', 1, 1000, 1000, 1000, 0 FROM n WHERE i < ${ROWS / 1000}`,
  );
  stored(
    `INSERT INTO waiting ${NUMBERS} SELECT i / 1000, ${NOW} + i % 1000, 'p' || i, ${NOW} + 9999999, 1, NULL, i % 1000, i % 1000 FROM n`,
  );
  const { sql, most } = counted(stored);
  const lane = new LaneCore(sql, { now: () => NOW });
  expect(lane.stats().waiting.normal).toBe(ROWS);
  lane.due();
  const version = { model: "local/echo", version: "v", room: 3, startNow: 3 };
  const models = [{ ...version, readyInMs: 0, problem: null }];
  lane.tell({ session: "pool", n: 1, full: true, models, seen: [], ended: [] });
  expect(lane.take("pool", new Map([["local/echo v", version]]), 100)).toHaveLength(3);
  expect(most()).toBeLessThanOrEqual(1000);
});

it("a webhook sender", { timeout: 60_000 }, async () => {
  const stored = memorySql();
  createStore(stored);
  stored(
    `INSERT INTO messages (prediction_id, webhook_id, account_id, url, event, position, state, wake_at, created_at, finished_at)
     ${NUMBERS} SELECT 'p' || i, 'msg_' || i, 'account-' || (i / 1000), 'https://example.com/', 'completed', i, 'delivered',
       ${NOW} + i, ${NOW}, ${NOW} FROM n`,
  );
  stored(`INSERT INTO forgotten ${NUMBERS} SELECT 'p' || i, ${NOW}, 0 FROM n`);
  stored(`INSERT INTO disabled ${NUMBERS} SELECT 'account-' || (i / 1000), 'https://example.com/' || i, ${NOW} FROM n`);
  const { sql, most } = counted(stored);
  const dispatcher = new Dispatcher({
    store: createStore(sql),
    limits: defaultLimits,
    now: () => NOW + 1,
    random: () => 0.5,
    transaction: (change) => change(),
    wakeAt: () => {},
    databaseBytes: () => 0,
    attempt: async () => ({
      result: "delivered",
      status: 200,
      error: null,
      response: "",
      retryAfterMs: null,
      hostFailed: false,
    }),
  });
  dispatcher.wake();
  dispatcher.enqueue([message("fresh", "completed")]);
  await dispatcher.settled();
  expect(most()).toBeLessThanOrEqual(1000);
});
