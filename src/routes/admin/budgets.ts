/** `/admin/v1/budgets`: what accounts, keys and models may spend. */
import { Hono } from "hono";
import * as z from "zod";
import { calendarPeriods } from "../../../plugins/kernel/allowance.ts";
import { budgetScopes } from "../../../plugins/kernel/services.ts";
import type { BudgetScope } from "../../../plugins/kernel/services.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { CurrencySchema, NanoSchema } from "../../contract/price.ts";
import type { Env } from "../../env.ts";
import { BudgetViewSchema, showBudgets } from "../../metering/budgets.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { findAccount } from "../../registry/accounts.ts";
import { findApiKey } from "../../registry/api-keys.ts";
import {
  budgetKinds,
  deleteBudget,
  findBudget,
  forgetBudgets,
  ledgerOf,
  listBudgets,
  putBudget,
} from "../../registry/budgets.ts";
import type { NewBudget, StoredBudget } from "../../registry/budgets.ts";
import { readSettings } from "../../settings/publish.ts";
import { checkTarget } from "../../webhooks/target.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { MAX_ADMIN_BYTES } from "./page.ts";

/**
 * A caller with a JSON Web Token, by its issuer's name in the settings and its `sub`: as records and verdicts have it.
 */
const TOKEN_CALLER = /^jwt:([a-z0-9][a-z0-9-]{0,31}):(.{1,256})$/su;
const NO_ACCOUNT = "The caller has no such budget; to set one, say the `account` that its tokens name.";
const NO_KEY = "There is no such key.";
const MODEL = /^[^/\s]{1,128}\/[^/\s]{1,128}$/;

const PathSchema = z.object({
  scope: z.enum(budgetScopes).meta({ description: "Whose spending is counted." }),
  of: z
    .string()
    .min(1)
    .max(300)
    .meta({
      description:
        "The account's id or name; the key's id, or `jwt:<issuer>:<sub>` of a caller with a JSON Web Token; or `owner%2Fname` of the model.",
      examples: ["acme"],
    }),
  period: z.enum(calendarPeriods).meta({ description: "A day or a month of UTC, or in all." }),
});
const QuerySchema = z.object({
  account: z.string().optional().meta({ description: "The account's id or name: its budgets, and those of its keys." }),
  model: z.string().regex(MODEL, "owner/name").optional().meta({ description: "`owner/name`." }),
});
const BodySchema = z.strictObject({
  limit_nano: NanoSchema.meta({ description: "In 10^-9 of the currency. 0 lets nothing through that has a price." }),
  currency: CurrencySchema.meta({ description: "That of the prices in the settings." }),
  kind: z.enum(budgetKinds).default("hard").meta({
    description:
      "`hard` refuses what should cost more than is left; `strict`, what could, and bills no more than that; `soft` only tells.",
  }),
  webhook: z.url().max(2048).nullable().default(null).meta({
    description:
      "Told at 50, 80 and 100 %, each once a period; signed by the account's secret, a model's by its owner's.",
  }),
  account: z.string().optional().meta({
    description: "Of `jwt:<issuer>:<sub>`, and of no other: the account, by id or name, that its tokens name.",
  }),
});

export function budgetRoutes(): Hono<App> {
  const routes = new Hono<App>();
  const example = { limit_nano: 50_000_000_000, currency: "USD" };

  routes.get(
    "/",
    operation(
      {
        id: "listBudgets",
        tag: "Operator",
        summary: "List the budgets of an account and its keys, or of a model",
        description: "With what is spent and left. An account's balance is among them.",
        access: "operator",
        query: QuerySchema,
        answers: { 200: json(z.object({ results: z.array(BudgetViewSchema) }), "All of them.") },
        errors: ["not_found"],
      },
      async (c, { query: { account, model } }) => {
        if ((account === undefined) === (model === undefined)) {
          throw new EdgeplaneError("invalid_request", "Name an `account` or a `model`, and not both.");
        }
        const of = model === undefined ? { account: (await accountNamed(c.env, account ?? "")).id } : { model };
        return c.json({ results: await showBudgets(c.env, await listBudgets(c.env.DB, of)) });
      },
    ),
  );

  routes.get(
    "/:scope/:of/:period",
    operation(
      {
        id: "getBudget",
        tag: "Operator",
        summary: "Read a budget, and what is left of it",
        access: "operator",
        path: PathSchema,
        answers: { 200: json(BudgetViewSchema, "The budget.") },
      },
      async (c, { path }) => c.json(await shown(c.env, await namedBy(c.env, path))),
    ),
  );

  routes.put(
    "/:scope/:of/:period",
    operation(
      {
        id: "putBudget",
        tag: "Operator",
        summary: "Set a budget",
        description:
          "It holds within 10 seconds, and counts from then on; one that is changed goes on with what it has counted. The plugin `budget` must be on, and there must be prices in its currency.",
        access: "operator",
        path: PathSchema,
        body: { schema: BodySchema, maxBytes: MAX_ADMIN_BYTES, examples: { fifty: example } },
        answers: { 200: json(BudgetViewSchema, "The budget as it is now.") },
        errors: ["conflict", "quota_exceeded"],
      },
      async (c, { path, body }) => {
        const { limit_nano: limitNano, currency, kind, webhook, account } = body;
        await refuseUnheld(c.env, currency);
        const named = await namedBy(c.env, path, account);
        const before = await findBudget(c.env.DB, named);
        if (webhook !== null) checkWebhook(c.env, webhook, named.signer);
        const isMade = before?.currency !== currency;
        // Isolates that still knew of a removed budget have counted in its ledger for some seconds more. Should this
        // fail, there is no budget yet, and the call can be made again.
        if (isMade) await forget(c.env, ledgerOf({ ...named, currency }));
        await putBudget(c.env.DB, { ...named, limitNano, currency, kind, webhook });
        if (isMade && before !== null) await forget(c.env, before);
        forgetBudgets(cachedAs(named));
        return c.json(await shown(c.env, named));
      },
    ),
  );

  routes.delete(
    "/:scope/:of/:period",
    operation(
      {
        id: "deleteBudget",
        tag: "Operator",
        summary: "Remove a budget",
        description: "It holds for 10 seconds more at most. One that is set again begins at nothing.",
        access: "operator",
        path: PathSchema,
        answers: { 204: { description: "It is removed." } },
      },
      async (c, { path }) => {
        const named = await namedBy(c.env, path);
        const budget = await findBudget(c.env.DB, named);
        if (budget === null || !(await deleteBudget(c.env.DB, named))) throw absent();
        await forget(c.env, budget);
        forgetBudgets(cachedAs(named));
        return c.body(null, 204);
      },
    ),
  );

  return routes;
}

type Named = Pick<NewBudget, "scope" | "id" | "period" | "account" | "name" | "signer">;

/**
 * Throws `not_found` for an account that isn't there, and for a key that is neither there nor has this budget.
 * `account`: that of a caller with a token, where its budget is set.
 */
async function namedBy(env: Env, { scope, of, period }: z.output<typeof PathSchema>, account?: string): Promise<Named> {
  const callerIn = scope === "key" && account !== undefined ? TOKEN_CALLER.exec(of) : null;
  if (account !== undefined && callerIn === null) {
    const invalid = { field: "account", description: "is of the budget of a `jwt:<issuer>:<sub>` alone" };
    const detail = `- ${invalid.field}: ${invalid.description}\n`;
    throw new EdgeplaneError("invalid_input", detail, { invalidFields: [invalid] });
  }
  const by: Record<BudgetScope, () => Promise<Omit<Named, "scope" | "period">>> = {
    async account() {
      const { id, name } = await accountNamed(env, of);
      return { id, account: id, name, signer: id };
    },
    async key() {
      // A budget outlives its key, and the first of those that were rotated: it can be read and removed all the same.
      const known = await findBudget(env.DB, { scope, id: of, period });
      if (account !== undefined) return tokenCaller(env, of, callerIn?.[1] ?? "", { account, known });
      const key = known === null ? await findApiKey(env.DB, of) : null;
      const [id, accountId] = [key?.firstId ?? of, key?.accountId ?? known?.accountId ?? null];
      if (accountId === null) throw new EdgeplaneError("not_found", TOKEN_CALLER.test(of) ? NO_ACCOUNT : NO_KEY);
      return { id, account: accountId, name: id, signer: accountId };
    },
    async model() {
      if (!MODEL.test(of)) throw new EdgeplaneError("invalid_request", "A model is named `owner%2Fname`.");
      const owner = await findAccount(env.DB, of.slice(0, of.indexOf("/")));
      return { id: of, account: null, name: of, signer: owner?.id ?? null };
    },
  };
  return { scope, period, ...(await by[scope]()) };
}

/** Of a caller that is known by tokens alone. Throws `conflict` where none of them could be held to it. */
async function tokenCaller(
  env: Env,
  id: string,
  issuer: string,
  { account: name, known }: { account: string; known: StoredBudget | null },
): Promise<Omit<Named, "scope" | "period">> {
  const account = await accountNamed(env, name);
  if (known !== null && known.accountId !== account.id) {
    throw new EdgeplaneError("conflict", "The caller has this budget in another account: remove that one first.");
  }
  const { plugins } = (await readSettings(env, null)).numbered.settings;
  const trusted = IssuersSchema.safeParse(plugins["jwt"]?.config);
  if (!(trusted.data?.issuers ?? []).some((one) => one.name === issuer)) {
    const detail = `The plugin \`jwt\` has no issuer \`${issuer}\` in the settings, so that nobody calls by this name.`;
    throw new EdgeplaneError("conflict", detail);
  }
  return { id, account: account.id, name: id, signer: account.id };
}

const IssuersSchema = z.object({ issuers: z.array(z.object({ name: z.string() })) });

async function shown(env: Env, named: Named): Promise<z.output<typeof BudgetViewSchema>> {
  const budget = await findBudget(env.DB, named);
  const [view] = budget === null ? [] : await showBudgets(env, [budget]);
  if (view === undefined) throw absent();
  return view;
}

/** What its ledger counted of it. */
async function forget(env: Env, { subject, bucket }: Pick<StoredBudget, "subject" | "bucket">): Promise<void> {
  await callObject(async () => objectNamed(env.LEDGER, subject).forget(bucket));
}

function cachedAs({ account, id }: Named): { account: string } | { model: string } {
  return account === null ? { model: id } : { account };
}

/** A budget that nothing holds predictions to would be a trap. */
export async function refuseUnheld(env: Env, currency: string): Promise<void> {
  const { settings } = (await readSettings(env, null)).numbered;
  if (!Object.hasOwn(settings.plugins, "budget")) {
    const detail = "The plugin `budget` is off, so that nothing would be held to it: publish settings that have it on.";
    throw new EdgeplaneError("conflict", detail);
  }
  const priced = settings.prices?.currency;
  if (priced === currency) return;
  const now = priced === undefined ? "there are no prices in the settings" : `prices are in ${priced}`;
  throw new EdgeplaneError(
    "conflict",
    `Money is counted in the currency of the prices, and ${now}: not in ${currency}.`,
  );
}

/** Throws `invalid_input` for one that may not be called, or that nobody could sign for. */
export function checkWebhook(env: Env, url: string, signer: string | null): void {
  const decision = checkTarget(url, { allowLoopback: env.ALLOW_LOOPBACK_TARGETS === "1" });
  const description = !decision.ok
    ? decision.reason
    : signer === null
      ? "the model's owner has no account here, whose secret would sign it"
      : null;
  if (description === null) return;
  throw new EdgeplaneError("invalid_input", `- webhook: ${description}\n`, {
    invalidFields: [{ field: "webhook", description }],
  });
}

export async function accountNamed(env: Env, idOrName: string): Promise<{ id: string; name: string }> {
  const account = await findAccount(env.DB, idOrName);
  if (account === null) throw new EdgeplaneError("not_found", "There is no such account.");
  return account;
}

function absent(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such budget.");
}
