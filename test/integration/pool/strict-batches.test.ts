/**
 * Strict budgets of two accounts and a model, from their reservation to their settlement, over real batches that the
 * accounts share: some raise, and some are canceled as they run. The plugin, the ledgers, the shard, the pool and the
 * meter are the product's own.
 */
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { budget as budgetPlugin } from "../../../plugins/budget/budget.ts";
import { aCall } from "../../../plugins/kernel/conformance.ts";
import type { PredictionCall, Verdict } from "../../../plugins/kernel/phases.ts";
import type { Budget } from "../../../plugins/kernel/services.ts";
import { buildSnapshot } from "../../../plugins/kernel/snapshot.ts";
import { createAllowances } from "../../../src/allowance/allowances.ts";
import { createAllowanceService } from "../../../src/allowance/service.ts";
import type { AllowanceStore } from "../../../src/allowance/types.ts";
import { createLedger } from "../../../src/ledger/ledger.ts";
import { createLedgerRows } from "../../../src/ledger/rows.ts";
import { createMeterRows, meterSchema } from "../../../src/metering/meter-rows.ts";
import { takeBatches } from "../../../src/metering/take.ts";
import { queryUsage } from "../../../src/metering/usage-query.ts";
import { openSchema } from "../../../src/object-schema.ts";
import type { SqlRow } from "../../../src/shard/sql.ts";
import { usageRecords } from "../../../src/shard/usage-records.ts";
import { memorySql } from "../../unit/memory-sql.ts";
import type { FakeEdge, Tracked } from "./fake-edge.ts";
import { modelAt, startPoolInside } from "./pool-inside.ts";

const MODEL = `
import time
from typing import List

from cog import BaseRunner, BatchInput, Input


class Runner(BaseRunner):
    def run(self, do: str = Input(default="")) -> str:
        return self.act([do])[0]

    def run_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.act([item.do for item in inputs])

    def act(self, acts: List[str]) -> List[str]:
        time.sleep(0.02)
        if "raise" in acts:
            raise ValueError("told to raise")
        if "hold" in acts:
            print("begun")
        while "hold" in acts:
            time.sleep(0.01)
        return acts
`;
const files = {
  "cog.yaml": "predict: predict.py:Runner\nedgeplane:\n  maxBatchSize: 4\n  maxQueueDelayMs: 200\n",
  "predict.py": MODEL,
};

const price = { id: "1:*", currency: "USD", perSecond: { "*": 1_000_000 }, perUnit: {}, perRequest: 7, minimum: 0 };
const RUN_LIMIT_MS = 20_000;
/** What each reserves: all the time that it may run. */
const MOST = 20 * 1_000_000 + 7;
const limits = new Map([
  ["account:greedy", 6 * MOST],
  ["account:modest", 20 * MOST],
  ["model:first", 15 * MOST],
]);

function strict(subject: string): Budget {
  const [scope = "", of = ""] = subject.split(":");
  return {
    ...{ scope: scope === "model" ? "model" : "account", of, subject, bucket: `${subject} all`, period: "all" },
    ...{ currency: "USD", limitNano: limits.get(subject) ?? 0, isSoft: false, isStrict: true, alert: null },
  };
}

/** The plugin before its ledgers. */
async function world() {
  const ledgers = new Map(
    [...limits.keys()].map((subject) => {
      const database = new DatabaseSync(":memory:");
      const rows = createLedgerRows((sql, ...bound) => database.prepare(sql).all(...bound) as SqlRow[]);
      return [subject, createLedger(rows)] as const;
    }),
  );
  const ledgerOf = (subject: string) => {
    const ledger = ledgers.get(subject);
    if (ledger === undefined) throw new Error(`nobody has the ledger ${subject}`);
    return ledger;
  };
  const store: AllowanceStore = {
    take: async (subject, groups) => ledgerOf(subject).take(groups, Date.now()),
    settle: async (subject, settlements) => ledgerOf(subject).settle(settlements, Date.now()),
  };
  const allowances = createAllowances(store);
  const allowance = createAllowanceService({ objects: allowances, ledger: allowances, redis: null });
  const of = async ({ accountId }: { accountId: string }) => [strict(`account:${accountId}`), strict("model:first")];
  const { hooks } = await buildSnapshot(1, [budgetPlugin], { budget: {} }, { allowance, budgets: { of } });
  const [hook] = hooks.admit;
  return {
    allowance,
    async admit(accountId: string): Promise<Verdict<PredictionCall>> {
      const call = { ...aCall(), runLimitMs: RUN_LIMIT_MS, pricing: { price, expectedNano: 1 } };
      const verdict = await hook?.run({ ...call, principal: { ...call.principal, accountId } });
      if (verdict === undefined) throw new Error("there is no hook");
      return verdict;
    },
    read(subject: string) {
      const spec = { algorithm: "calendar", limit: limits.get(subject) ?? 0, period: "all" } as const;
      const { settled, reserved } = ledgerOf(subject).read(`${subject} all`, spec, Date.now());
      return [settled, reserved];
    },
  };
}

/** Tells the ledgers of all that has ended, as a shard does. */
async function settle(edge: FakeEdge, allowance: Awaited<ReturnType<typeof world>>["allowance"]): Promise<void> {
  for (;;) {
    const ends = edge.settlement.take("allowance", 100);
    if (ends.length === 0) return;
    await allowance.end(ends);
    edge.settlement.settled(ends);
  }
}

/** What their records cost, and how many of them are billed, as their account reads it. */
function metered(all: readonly Tracked[]): { billed: number; costNano: number } {
  const sql = memorySql();
  openSchema(sql, meterSchema);
  let n = 0;
  for (const { row } of all) {
    const usage = (row.usage ?? []).map((entry) => ({ ...entry, n: (n += 1) }));
    const records = usageRecords({ ...row, usage }, new Set(usage.map((entry) => entry.n)));
    takeBatches(createMeterRows(sql), [{ source: "shard-0", records }], Date.now());
  }
  const asked = { from: 0, to: Number.MAX_SAFE_INTEGER, by: "day", group: [], where: {}, limit: 100 } as const;
  const { groups } = queryUsage(sql, { ...asked, after: null });
  const sum = (name: "billed" | "costNano") => groups.reduce((total, group) => total + group[name], 0);
  return { billed: sum("billed"), costNano: sum("costNano") };
}

test("strict budgets are overspent by nothing, and tell what records tell, over batches that accounts share", async () => {
  await using inside = await startPoolInside({ "a/first": files });
  const { edge, pool } = inside;
  const { admit, allowance, read } = await world();
  const model = modelAt(inside, "a/first").manifest;
  const taken: { account: string; tracked: Tracked }[] = [];
  const refused: Verdict<PredictionCall>[] = [];
  const send = async (account: string, act: string): Promise<Tracked | null> => {
    const verdict = await admit(account);
    if (verdict.verdict !== "continue" || verdict.reservation === undefined) {
      refused.push(verdict);
      return null;
    }
    const pricing = "subject" in verdict ? verdict.subject.pricing : undefined;
    if (pricing === undefined) throw new Error("nothing caps what it costs");
    const money = { pricing, reservations: [{ ...verdict.reservation, plugin: "budget" }] };
    const tracked = edge.submit(model, { do: act }, { runLimitMs: RUN_LIMIT_MS, money });
    taken.push({ account, tracked });
    return tracked;
  };
  // All wait before the model is there: batches have both accounts' predictions.
  for (const act of ["a", "b", "raise", "c", "d", "e", "f", "g"])
    for (const account of ["greedy", "modest", "greedy"]) await send(account, act);
  expect(taken.map(({ account }) => account).filter((one) => one === "greedy")).toHaveLength(6);
  expect(taken).toHaveLength(6 + 8);
  for (const verdict of refused) expect(verdict).toMatchObject({ verdict: "reject", code: "budget_spent" });
  for (const one of inside.models.values()) pool.models.add(one);
  const over = ({ tracked: { row } }: { tracked: Tracked }) => row.completedAt !== null && row.attemptAt === undefined;
  await edge.until(() => taken.every(over));
  const held = await send("modest", "hold");
  await edge.until(() => held?.events.some(({ type }) => type === "log") === true);
  if (held !== null) edge.cancel(held);
  await edge.until(() => taken.every(over));
  await settle(edge, allowance);

  const all = taken.map(({ tracked }) => tracked);
  const costs = taken.map(({ account, tracked }) => ({ account, nano: tracked.row.costNano ?? Number.NaN }));
  const spentBy = (of?: string) =>
    costs.reduce((sum, { account, nano }) => sum + (of === undefined || account === of ? nano : 0), 0);
  expect(read("account:greedy")).toEqual([spentBy("greedy"), 0]);
  expect(read("account:modest")).toEqual([spentBy("modest"), 0]);
  expect(read("model:first")).toEqual([spentBy(), 0]);
  for (const { nano } of costs) expect(nano).toBeLessThanOrEqual(MOST);
  const outcomes = new Set(all.flatMap(({ row }) => (row.usage ?? []).map(({ outcome }) => outcome)));
  expect([...outcomes]).toEqual(expect.arrayContaining(["bisected", "canceled", "failed", "succeeded"]));
  expect(metered(all)).toEqual({ billed: all.length, costNano: spentBy() });
  // What the greedy one's runs did not need is there again.
  expect(await admit("greedy")).toMatchObject({ verdict: "continue" });
});
