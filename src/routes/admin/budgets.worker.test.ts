/** What the operator's calls leave in the ledgers of budgets. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { testEnv } from "../../../test/worker/edge-harness.ts";
import { MILLION, pricedGateway } from "../../../test/worker/priced-gateway.ts";
import { findAccount } from "../../registry/accounts.ts";
import { findBudget } from "../../registry/budgets.ts";

/** An account with a budget of 100 for all time, and the ledger that counts it. */
async function budgeted() {
  const { operate, account } = await pricedGateway(MILLION);
  const path = `/budgets/account/${account}/all`;
  const body = { limit_nano: 100, currency: "USD" };
  await operate(path, "PUT", body);
  const id = (await findAccount(testEnv.DB, account))?.id ?? "";
  const budget = await findBudget(testEnv.DB, { scope: "account", id, period: "all" });
  if (budget === null) throw new Error("there is no budget");
  return { operate, path, body, budget, ledger: testEnv.LEDGER.getByName(budget.subject) };
}

it("sets a budget again that begins at nothing, though an isolate reserved behind its removal", async () => {
  const { operate, path, body, budget, ledger } = await budgeted();
  expect((await operate(path, "DELETE")).status).toBe(204);
  // Another isolate knows of it for 10 s more.
  const spec = { algorithm: "calendar", limit: 100, period: "all" } as const;
  const expiresAt = Date.now() + 60_000;
  const ask = { bucket: budget.bucket, spec, need: 60, want: 0, held: true };
  await ledger.take([{ id: "late", expiresAt, asks: [ask] }]);
  await ledger.settle([{ id: "late", expiresAt, back: [], slots: [] }]);
  expect(await ledger.read([{ bucket: budget.bucket, spec }])).toMatchObject([{ settled: 60 }]);
  const again = await operate(path, "PUT", body);
  expect(again.body).toMatchObject({ spent_nano: 0, left_nano: 100 });
  // One that is only changed goes on with what it has counted.
  await ledger.take([{ id: "next", expiresAt, asks: [ask] }]);
  await ledger.settle([{ id: "next", expiresAt, back: [], slots: [] }]);
  const changed = await operate(path, "PUT", { ...body, limit_nano: 200 });
  expect(changed.body).toMatchObject({ spent_nano: 60, left_nano: 140 });
});

it("can be told again where the ledger fails half-way, and counts nothing from before", async () => {
  const { operate, path, body, budget, ledger } = await budgeted();
  const spec = { algorithm: "calendar", limit: 100, period: "all" } as const;
  const expiresAt = Date.now() + 60_000;
  await ledger.take([
    { id: "spent", expiresAt, asks: [{ bucket: budget.bucket, spec, need: 60, want: 0, held: true }] },
  ]);
  await ledger.settle([{ id: "spent", expiresAt, back: [], slots: [] }]);
  const rename = (from: string, to: string) =>
    runInDurableObject(ledger, (_, { storage }) => void storage.sql.exec(`ALTER TABLE ${from} RENAME TO ${to}`));
  await rename("bucket", "away");
  expect((await operate(path, "DELETE")).status).toBeGreaterThanOrEqual(500);
  expect((await operate(path, "PUT", body)).status).toBeGreaterThanOrEqual(500);
  await rename("away", "bucket");
  expect((await operate(path, "PUT", body)).body).toMatchObject({ spent_nano: 0, left_nano: 100 });
});
