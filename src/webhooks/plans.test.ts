/**
 * No statement of a sender looks through its messages: neither when its object starts, nor when one comes, leaves, ends
 * or is forgotten.
 */
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { message } from "../../test/unit/webhook-world.ts";
import type { Sql, SqlRow } from "../shard/sql.ts";
import { Dispatcher, defaultLimits } from "./dispatcher.ts";
import { createStore } from "./store.ts";

it("seeks what it needs by an index", async () => {
  const database = new DatabaseSync(":memory:");
  const plans = new Map<string, string[]>();
  const sql: Sql = (query, ...bindings) => {
    if (/^\s*(SELECT|UPDATE|DELETE|WITH)/.test(query)) {
      const steps = database.prepare(`EXPLAIN QUERY PLAN ${query}`).all(...bindings);
      plans.set(
        query,
        steps.map(({ detail }) => String(detail)),
      );
    }
    return database.prepare(query).all(...bindings) as SqlRow[];
  };
  const store = createStore(sql);
  let now = 1_800_000_000_000;
  let outcome: "delivered" | "failed" | "gone" = "delivered";
  const open = () =>
    new Dispatcher({
      store,
      limits: { ...defaultLimits, accountLogBytes: 2000 },
      now: () => now,
      random: () => 0.5,
      attempt: async () => ({
        result: outcome,
        status: 500,
        error: "it failed",
        response: "",
        retryAfterMs: null,
        hostFailed: outcome === "failed",
      }),
      transaction: (change) => change(),
      wakeAt: () => {},
      databaseBytes: () => 0,
    });
  const dispatcher = open();
  for (const way of ["delivered", "failed", "gone"] as const) {
    outcome = way;
    for (let index = 0; index < 12; index += 1) {
      dispatcher.enqueue([message(`${way}${index}`, "output"), message(`${way}${index}`, "completed")]);
      await dispatcher.settled();
    }
    now += 100 * 3_600_000;
    open().wake();
    dispatcher.wake();
    await dispatcher.settled();
  }
  dispatcher.redeliver("gone11", "msg_gone11_completed");
  dispatcher.forget(["gone11"], "drop");
  now += 30 * 86_400_000;
  dispatcher.wake();
  expect(plans.size).toBeGreaterThan(15);
  const scans = [...plans].filter(([, steps]) => steps.some((step) => /^SCAN (messages|bodies)/.test(step)));
  expect(scans).toEqual([]);
});
