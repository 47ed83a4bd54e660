/** Accounts: the tenants. Each begins with a secret that its webhooks are signed with. */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import type { AccountDirectory } from "../../plugins/kernel/services.ts";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { newWebhookSecret } from "../webhooks/signature.ts";
import { BEFORE_ALL, isUniqueViolation } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

const CACHE_MS = 10_000;
const CACHED_ACCOUNTS = 10_000;

/** How long data is kept after its end unless the operator says otherwise, and what the operator may say. */
export const DEFAULT_RETENTION_MS = 24 * 3_600_000;

const MIN_RETENTION_S = 60;
const MAX_RETENTION_S = 30 * 24 * 3600;

/**
 * An account's share of a lane beside the others', unless the operator says otherwise, and what the operator may say.
 */
const DEFAULT_WEIGHT = 1;
const MIN_WEIGHT = 0.01;
const MAX_WEIGHT = 1000;

export const accountTypes = ["user", "organization"] as const;

export const NewAccountSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and hyphens, at most 63"),
  type: z.enum(accountTypes).default("organization"),
});

export const AccountChangeSchema = z.strictObject({
  retention_s: z.int().min(MIN_RETENTION_S).max(MAX_RETENTION_S).nullable().optional().meta({
    description: "How many seconds data is kept after its end: a minute to 30 days; null: 24 hours.",
  }),
  weight: z.number().min(MIN_WEIGHT).max(MAX_WEIGHT).nullable().optional().meta({
    description: "Its share of the GPUs beside the other accounts that wait in a lane: 0.01 to 1000; null: 1.",
  }),
});

const AccountRowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.enum(accountTypes),
    webhook_secret: z.string(),
    retention_ms: z.number().nullable(),
    weight: z.number(),
    created_at: z.number(),
  })
  .transform((row) => ({
    id: row.id,
    name: row.name,
    type: row.type,
    webhookSecret: row.webhook_secret,
    retentionMs: row.retention_ms ?? DEFAULT_RETENTION_MS,
    weight: row.weight,
    createdAt: row.created_at,
  }));
export type Account = z.output<typeof AccountRowSchema>;

const cached = createTtlCache<Account>(CACHED_ACCOUNTS);

/** Makes an account. Throws `already_exists` when the name is taken. */
export async function createAccount(db: D1Database, account: z.output<typeof NewAccountSchema>): Promise<Account> {
  const created: Account = {
    id: crypto.randomUUID(),
    name: account.name,
    type: account.type,
    webhookSecret: newWebhookSecret(),
    retentionMs: DEFAULT_RETENTION_MS,
    weight: DEFAULT_WEIGHT,
    createdAt: Date.now(),
  };
  try {
    await db
      .prepare("INSERT INTO accounts (id, name, type, webhook_secret, created_at) VALUES (?, ?, ?, ?, ?)")
      .bind(created.id, created.name, created.type, created.webhookSecret, created.createdAt)
      .run();
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    throw new EdgeplaneError("already_exists", `The name "${account.name}" is taken.`, { cause });
  }
  return created;
}

/** Changes what the change names, from now on; null when there is no such account. Isolates know within 10 s. */
export async function updateAccount(
  db: D1Database,
  idOrName: string,
  change: z.output<typeof AccountChangeSchema>,
): Promise<Account | null> {
  const { retention_s: retentionS, weight } = change;
  const row = await db
    .prepare(
      `UPDATE accounts SET retention_ms = iif(?2, ?3, retention_ms), weight = iif(?4, ?5, weight)
       WHERE id = ?1 OR name = ?1 RETURNING *`,
    )
    .bind(
      idOrName,
      retentionS === undefined ? 0 : 1,
      typeof retentionS === "number" ? retentionS * 1000 : null,
      weight === undefined ? 0 : 1,
      weight ?? DEFAULT_WEIGHT,
    )
    .first();
  if (row === null) return null;
  const account = AccountRowSchema.parse(row);
  cached.delete(account.id);
  cached.delete(account.name);
  return account;
}

/** Reads an account, by its id or its name; null when there is none. */
export async function findAccount(db: D1Database, idOrName: string): Promise<Account | null> {
  const known = cached.get(idOrName);
  if (known !== undefined) return known;
  const row = await db.prepare("SELECT * FROM accounts WHERE id = ?1 OR name = ?1").bind(idOrName).first();
  if (row === null) return null;
  const account = AccountRowSchema.parse(row);
  cached.set(idOrName, account, CACHE_MS);
  return account;
}

/** The service that plugins find accounts with: what they see is 10 s old at most. */
export function createAccountDirectory(db: D1Database): AccountDirectory {
  return {
    async find(idOrName) {
      const account = await findAccount(db, idOrName);
      if (account === null) return null;
      const { id: accountId, name: accountName, retentionMs, weight } = account;
      return { accountId, accountName, retentionMs, weight };
    },
  };
}

/** A page of the accounts, oldest first. */
export async function listAccounts(db: D1Database, page: OldestFirst): Promise<Account[]> {
  const { createdAt, id } = page.after ?? BEFORE_ALL;
  const { results } = await db
    .prepare("SELECT * FROM accounts WHERE (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?")
    .bind(createdAt, id, page.limit)
    .all();
  return results.map((row) => AccountRowSchema.parse(row));
}
