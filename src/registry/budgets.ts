/** Budgets: what may be spent, as the operator set it. What was spent of them is the ledger's (src/ledger). */
import * as z from "zod";
import { calendarPeriods } from "../../plugins/kernel/allowance.ts";
import type { MoneySpec } from "../../plugins/kernel/allowance.ts";
import { budgetScopes } from "../../plugins/kernel/services.ts";
import type { Budget, BudgetDirectory, BudgetScope } from "../../plugins/kernel/services.ts";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { EdgeplaneError } from "../contract/errors.ts";

const CACHE_MS = 10_000;
const CACHED = 10_000;
/** Of one account with its keys: all are read for each of its predictions. */
const MAX_OF_ACCOUNT = 300;

export const budgetKinds = ["hard", "soft", "strict"] as const;
export type BudgetKind = (typeof budgetKinds)[number];
export const budgetPeriods = [...calendarPeriods, "balance"] as const;
export type BudgetPeriod = (typeof budgetPeriods)[number];

const RowSchema = z
  .object({
    subject: z.string(),
    period: z.enum(budgetPeriods),
    account_id: z.string().nullable(),
    name: z.string(),
    limit_nano: z.number(),
    currency: z.string(),
    kind: z.enum(budgetKinds),
    webhook: z.string().nullable(),
    webhook_account: z.string().nullable(),
  })
  .transform(toBudget);
const RowsSchema = z.array(RowSchema);

type Row = {
  subject: string;
  period: BudgetPeriod;
  account_id: string | null;
  name: string;
  limit_nano: number;
  currency: string;
  kind: BudgetKind;
  webhook: string | null;
  webhook_account: string | null;
};

/** Where the money of an account and of its keys is kept, or that of a model. */
export function subjectOf(scope: BudgetScope, id: string): string {
  return scope === "model" ? `model:${id}` : `account:${id}`;
}

/** The bucket of an account's balance. */
export function balanceOf(accountId: string, currency: string): { subject: string; bucket: string; spec: MoneySpec } {
  const subject = subjectOf("account", accountId);
  return { subject, bucket: `${subject} balance ${currency}`, spec: { algorithm: "balance", limit: 0 } };
}

/** Where a budget is counted. `account` null: of a model. */
export function ledgerOf(one: BudgetName & { account: string | null; currency: string }) {
  const { scope, id, period, account, currency } = one;
  return bucketOf(`${scope}:${id}`, { account, period, currency });
}

function bucketOf(key: string, one: { account: string | null; period: BudgetPeriod; currency: string }) {
  const { account, period, currency } = one;
  return {
    subject: account === null ? key : subjectOf("account", account),
    bucket: `${key} ${period} ${currency}`,
  };
}

/** How the ledger counts it. */
export function specOf({ period, limitNano }: Pick<Budget, "period" | "limitNano">): MoneySpec {
  return period === "balance"
    ? { algorithm: "balance", limit: 0 }
    : { algorithm: "calendar", limit: limitNano, period };
}

type Stored = Budget & { key: string; accountId: string | null; kind: BudgetKind; webhook: string | null };

/** `accountId` null: of a model. */
function toBudget(row: Row): Stored {
  const { subject: key, account_id: account, period, currency, kind, webhook, webhook_account: signer, name } = row;
  const scope = budgetScopes.find((one) => key.startsWith(`${one}:`)) ?? "account";
  return {
    ...{ key, accountId: account, scope, of: name, period, currency, kind, webhook },
    ...bucketOf(key, { account, period, currency }),
    limitNano: row.limit_nano,
    isSoft: kind === "soft",
    isStrict: kind === "strict",
    alert:
      webhook === null || signer === null
        ? null
        : {
            ...{ url: webhook, account: signer, of: `${scope}:${name}` },
            ...(period === "balance" ? { belowNano: row.limit_nano } : {}),
          },
  };
}
export type StoredBudget = ReturnType<typeof toBudget>;

/** Those of an account and of its keys; or of a model. */
export async function listBudgets(
  db: D1Database,
  of: { account: string } | { model: string },
): Promise<StoredBudget[]> {
  const [where, value] = "account" in of ? ["account_id = ?1", of.account] : ["subject = ?1", `model:${of.model}`];
  const { results } = await db
    .prepare(`SELECT * FROM budgets WHERE ${where} ORDER BY subject, period LIMIT ${MAX_OF_ACCOUNT}`)
    .bind(value)
    .all();
  return RowsSchema.parse(results);
}

export type BudgetName = { scope: BudgetScope; id: string; period: BudgetPeriod };

export async function findBudget(db: D1Database, { scope, id, period }: BudgetName): Promise<StoredBudget | null> {
  const row = await db
    .prepare("SELECT * FROM budgets WHERE subject = ?1 AND period = ?2")
    .bind(`${scope}:${id}`, period)
    .first();
  return row === null ? null : RowSchema.parse(row);
}

export type NewBudget = BudgetName & {
  /** Whose it is; null of a model. */
  account: string | null;
  name: string;
  /** Of a balance: what is left when its webhook is told. */
  limitNano: number;
  currency: string;
  kind: BudgetKind;
  webhook: string | null;
  /** The account whose secret signs its alerts. */
  signer: string | null;
};

/** Makes the budget, or changes it. Throws `quota_exceeded` where its account has as many as it may. */
export async function putBudget(db: D1Database, one: NewBudget): Promise<void> {
  const { scope, id, period, account, name, limitNano, currency, kind, webhook, signer } = one;
  const { meta } = await db
    .prepare(
      `INSERT INTO budgets SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
       WHERE ?3 IS NULL OR (SELECT count(*) FROM budgets WHERE account_id = ?3 AND NOT (subject = ?1 AND period = ?2)) < ?11
       ON CONFLICT DO UPDATE SET name = ?4, limit_nano = ?5, currency = ?6, kind = ?7, webhook = ?8,
         webhook_account = ?9, changed_at = ?10`,
    )
    .bind(
      ...[`${scope}:${id}`, period, account, name, limitNano, currency, kind, webhook, signer, Date.now()],
      MAX_OF_ACCOUNT,
    )
    .run();
  if (meta.changes > 0) return;
  throw new EdgeplaneError("quota_exceeded", `The account has ${MAX_OF_ACCOUNT} budgets, as many as it may.`);
}

/** False when there was none. */
export async function deleteBudget(db: D1Database, { scope, id, period }: BudgetName): Promise<boolean> {
  const { meta } = await db
    .prepare("DELETE FROM budgets WHERE subject = ?1 AND period = ?2")
    .bind(`${scope}:${id}`, period)
    .run();
  return meta.changes > 0;
}

const cached = createTtlCache<readonly StoredBudget[]>(CACHED);

export function createBudgetDirectory(db: D1Database): BudgetDirectory {
  async function cachedList(key: string, of: { account: string } | { model: string }) {
    const known = cached.get(key);
    if (known !== undefined) return known;
    const found = await listBudgets(db, of);
    cached.set(key, found, CACHE_MS);
    return found;
  }

  return {
    async of({ accountId, credentialId }, model) {
      const [own, ofModel] = await Promise.all([
        cachedList(`account ${accountId}`, { account: accountId }),
        cachedList(`model ${model}`, { model }),
      ]);
      const holding = own.filter(({ scope, key }) => scope === "account" || key === `key:${credentialId}`);
      return [...holding, ...ofModel];
    },
  };
}

/** What this isolate knows of them is old. */
export function forgetBudgets(of: { account: string } | { model: string }): void {
  cached.delete("account" in of ? `account ${of.account}` : `model ${of.model}`);
}
