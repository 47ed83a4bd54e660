/** `/admin/v1/accounts/{account}/balance`: what an account has paid ahead. */
import type { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { amountOf, CurrencySchema, MAX_NANO, NanoSchema } from "../../contract/price.ts";
import type { Env } from "../../env.ts";
import { BudgetViewSchema, showBudgets } from "../../metering/budgets.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { balanceOf, deleteBudget, findBudget, forgetBudgets, putBudget } from "../../registry/budgets.ts";
import type { StoredBudget } from "../../registry/budgets.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { accountNamed, checkWebhook, refuseUnheld } from "./budgets.ts";
import { MAX_ADMIN_BYTES } from "./page.ts";

const PathSchema = z.object({ account: z.string().meta({ description: "The account's id or name." }) });
const HeaderSchema = z.object({
  "Idempotency-Key": z
    .string()
    .min(1)
    .max(255)
    .meta({
      description: "Names the payment: it is counted once, however often it is sent.",
      examples: ["invoice-2031"],
    }),
});
const BodySchema = z.strictObject({
  amount_nano: z
    .number()
    .int()
    .min(-MAX_NANO)
    .max(MAX_NANO)
    .refine((nano) => nano !== 0, "must not be 0")
    .meta({ description: "In 10^-9 of the currency; below 0 takes out." }),
  currency: CurrencySchema,
  why: z.string().trim().min(1).max(500).meta({ description: "For the list of payments." }),
});
const BalanceSchema = BudgetViewSchema.extend({
  paid: z
    .object({ amount_nano: z.number().int(), amount: z.string(), at: z.iso.datetime(), why: z.string() })
    .optional()
    .meta({ description: "The payment with this key." }),
}).meta({ id: "Balance" });

const AlertsSchema = z.strictObject({
  webhook: z.url().max(2048).nullable().meta({
    description: "Told once when less is left, and once when nothing is; again after a payment. Null: nobody is told.",
  }),
  alert_below_nano: NanoSchema.default(0).meta({ description: "In 10^-9 of the currency; 0: only at nothing." }),
});

export function addBalanceRoutes(routes: Hono<App>): void {
  routes.get(
    "/:account/balance",
    operation(
      {
        id: "getBalance",
        tag: "Operator",
        summary: "Read what is left of an account's balance",
        access: "operator",
        path: PathSchema,
        answers: { 200: json(BalanceSchema, "The balance.") },
      },
      async (c, { path }) => c.json(await shown(c.env, (await accountNamed(c.env, path.account)).id)),
    ),
  );

  routes.put(
    "/:account/balance",
    operation(
      {
        id: "putBalanceAlerts",
        tag: "Operator",
        summary: "Say who is told when an account's balance runs low",
        description: "It holds within 10 seconds, for an account that has paid in. Signed with the account's secret.",
        access: "operator",
        path: PathSchema,
        body: {
          schema: AlertsSchema,
          maxBytes: MAX_ADMIN_BYTES,
          examples: { low: { webhook: "https://example.com/alerts", alert_below_nano: 2_000_000_000 } },
        },
        answers: { 200: json(BalanceSchema, "The balance.") },
      },
      async (c, { path, body }) => {
        const { webhook, alert_below_nano: limitNano } = body;
        const { id, name } = await accountNamed(c.env, path.account);
        const known = await findBudget(c.env.DB, { scope: "account", id, period: "balance" });
        if (known === null) throw noBalance();
        if (webhook !== null) checkWebhook(c.env, webhook, id);
        await putBalance(c.env, id, { ...known, of: name, limitNano, webhook });
        return c.json(await shown(c.env, id));
      },
    ),
  );

  routes.delete(
    "/:account/balance",
    operation(
      {
        id: "deleteBalance",
        tag: "Operator",
        summary: "Let an account pay behind again",
        description:
          "Removes a balance of which nothing is left, owed or reserved; its predictions run without one within 10 seconds. What they cost until then counts if the account pays ahead again.",
        access: "operator",
        path: PathSchema,
        answers: { 204: { description: "The account doesn't pay ahead any more." } },
        errors: ["conflict"],
      },
      async (c, { path }) => {
        const { id } = await accountNamed(c.env, path.account);
        await refuseUnspent(c.env, id);
        const name = { scope: "account", id, period: "balance" } as const;
        const known = await findBudget(c.env.DB, name);
        if (known === null || !(await deleteBudget(c.env.DB, name))) throw noBalance();
        forgetBudgets({ account: id });
        // What was paid in meanwhile stays the account's.
        const [view] = await showBudgets(c.env, [known]);
        if (view === undefined || isSpent(view)) return c.body(null, 204);
        await putBalance(c.env, id, known);
        throw unspent(view);
      },
    ),
  );

  routes.post(
    "/:account/balance",
    operation(
      {
        id: "topUpBalance",
        tag: "Operator",
        summary: "Pay into an account's balance",
        description:
          "From its first payment on an account pays ahead: what should cost more than is left is refused with 402. The plugin `budget` must be on, and there must be prices in the currency.",
        access: "operator",
        path: PathSchema,
        header: HeaderSchema,
        body: {
          schema: BodySchema,
          maxBytes: MAX_ADMIN_BYTES,
          examples: { ten: { amount_nano: 10_000_000_000, currency: "USD", why: "invoice 2031" } },
        },
        answers: {
          200: json(BalanceSchema, "It was paid in before."),
          201: json(BalanceSchema, "It is paid in."),
        },
        errors: ["conflict", "idempotency_key_reused", "quota_exceeded"],
      },
      async (c, { path, header, body }) => {
        const { amount_nano: nano, currency, why } = body;
        const account = await accountNamed(c.env, path.account);
        await refuseUnheld(c.env, currency);
        await makePrepaid(c.env, account, currency);
        const { subject, bucket } = balanceOf(account.id, currency);
        const payment = { bucket, nano, why, at: Date.now() };
        const key = header["Idempotency-Key"];
        const done = await callObject(async () => objectNamed(c.env.LEDGER, subject).payIn(key, payment));
        if (done === null) throw new EdgeplaneError("conflict", "The balance would be more than can be counted.");
        // It may have been removed in between.
        await makePrepaid(c.env, account, currency);
        const { paid, isNew } = done;
        if (paid.nano !== nano || paid.bucket !== bucket) {
          throw new EdgeplaneError("idempotency_key_reused", "Another amount was paid in with this key.");
        }
        const told = { amount_nano: paid.nano, amount: amountOf(paid.nano), why: paid.why };
        const view = { ...(await shown(c.env, account.id)), paid: { ...told, at: new Date(paid.at).toISOString() } };
        return c.json(view, isNew ? 201 : 200);
      },
    ),
  );
}

async function makePrepaid(env: Env, { id, name }: { id: string; name: string }, currency: string): Promise<void> {
  const known = await findBudget(env.DB, { scope: "account", id, period: "balance" });
  if (known !== null && known.currency !== currency) {
    throw new EdgeplaneError("conflict", `The account's balance is in ${known.currency}.`);
  }
  if (known !== null) return;
  await putBalance(env, id, { of: name, limitNano: 0, currency, kind: "hard", webhook: null });
}

/** Of the account: its alerts are signed with the account's secret. */
async function putBalance(env: Env, id: string, one: Balance): Promise<void> {
  const { of: name, limitNano, currency, kind, webhook } = one;
  await putBudget(env.DB, {
    ...{ scope: "account", id, period: "balance", account: id, name, limitNano, currency, kind, webhook },
    signer: webhook === null ? null : id,
  });
  forgetBudgets({ account: id });
}
type Balance = Pick<StoredBudget, "of" | "limitNano" | "currency" | "kind" | "webhook">;

async function shown(env: Env, id: string): Promise<z.output<typeof BudgetViewSchema>> {
  const budget = await findBudget(env.DB, { scope: "account", id, period: "balance" });
  const [view] = budget === null ? [] : await showBudgets(env, [budget]);
  if (view === undefined) throw noBalance();
  return view;
}

/** Throws `conflict` for a balance of which something is left, owed or reserved. */
async function refuseUnspent(env: Env, id: string): Promise<void> {
  const view = await shown(env, id);
  if (!isSpent(view)) throw unspent(view);
}

function isSpent({ left_nano: left, reserved_nano: reserved }: z.output<typeof BudgetViewSchema>): boolean {
  return left === 0 && reserved === 0;
}

function unspent({ left, left_nano: nano, reserved_nano: reserved, currency }: z.output<typeof BudgetViewSchema>) {
  const how =
    reserved > 0 ? "wait until its predictions have ended" : nano > 0 ? "take that out first" : "pay that in first";
  const detail = `The balance has ${left} ${currency} left, and ${amountOf(reserved)} reserved: ${how}.`;
  return new EdgeplaneError("conflict", detail);
}

function noBalance(): EdgeplaneError {
  return new EdgeplaneError("not_found", "The account has no balance: it doesn't pay ahead.");
}
