/** API keys: made once, shown once, kept as a hash. */
import * as z from "zod";
import { sha256Hex } from "../../plugins/kernel/secret.ts";
import { scopes } from "../../plugins/kernel/phases.ts";
import type { Principal } from "../../plugins/kernel/phases.ts";
import type { KeyDirectory } from "../../plugins/kernel/services.ts";
import { PrioritySchema } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { DEFAULT_RETENTION_MS } from "./accounts.ts";
import { mayExist, newCredential } from "./credentials.ts";
import type { CredentialKind, CredentialSecrets } from "./credentials.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import { BEFORE_ALL, StringListColumnSchema } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

const HINT_LENGTH = 4;
const KIND: CredentialKind = { prefix: "ep_", table: "api_keys" };

type Stores = CredentialSecrets & QuotaVars & Pick<Env, "DB">;

export const NewKeySchema = z.strictObject({
  account: z.string().min(1).max(64),
  name: z.string().max(128).default(""),
  scopes: z
    .array(z.enum(scopes))
    .min(1)
    .default([...scopes]),
  priority: PrioritySchema.default("normal").meta({
    description: "The highest priority that a prediction made with the key may ask for.",
  }),
});
export type NewKey = z.output<typeof NewKeySchema>;

export const KeyChangeSchema = z.strictObject({ priority: NewKeySchema.shape.priority.unwrap() });

const KeyRowSchema = z
  .object({
    id: z.string(),
    account_id: z.string(),
    name: z.string(),
    hint: z.string(),
    scopes: StringListColumnSchema,
    priority: PrioritySchema,
    created_at: z.number(),
    revoked_at: z.number().nullable(),
  })
  .transform((row) => ({
    id: row.id,
    accountId: row.account_id,
    name: row.name,
    hint: row.hint,
    scopes: scopes.filter((scope) => row.scopes.includes(scope)),
    priority: row.priority,
    createdAt: row.created_at,
    revokedAt: row.revoked_at,
  }));
export type ApiKey = z.output<typeof KeyRowSchema>;

const AccountColumnsSchema = z
  .object({ account_name: z.string(), retention_ms: z.number().nullable(), weight: z.number() })
  .transform((row) => ({
    accountName: row.account_name,
    retentionMs: row.retention_ms ?? DEFAULT_RETENTION_MS,
    weight: row.weight,
  }));

/**
 * Makes a key for the account with `accountId`. `secret` is the key itself: nobody can read it again. Throws
 * `quota_exceeded`.
 */
export async function createApiKey(
  env: Stores,
  accountId: string,
  { name, scopes: granted, priority }: Omit<NewKey, "account">,
): Promise<{ key: ApiKey; secret: string }> {
  const secret = await newCredential(env, KIND.prefix);
  const key: ApiKey = {
    id: crypto.randomUUID(),
    accountId,
    name,
    hint: secret.slice(-HINT_LENGTH),
    scopes: granted,
    priority,
    createdAt: Date.now(),
    revokedAt: null,
  };
  const { meta } = await env.DB.prepare(
    `INSERT INTO api_keys (id, account_id, name, hash, hint, scopes, priority, created_at, has_mac)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1 WHERE ${hasRoom(env, "keys", "?2")}`,
  )
    .bind(key.id, accountId, name, await sha256Hex(secret), key.hint, JSON.stringify(granted), priority, key.createdAt)
    .run();
  if (meta.changes === 0) throw quotaExceeded(env, "keys");
  return { key, secret };
}

/**
 * Sets the highest priority that a key may ask for; null when there is none with this id. Isolates know within 10 s.
 */
export async function changeApiKey(db: D1Database, id: string, priority: Priority): Promise<ApiKey | null> {
  const row = await db
    .prepare("UPDATE api_keys SET priority = ?2 WHERE id = ?1 RETURNING *")
    .bind(id, priority)
    .first();
  return row === null ? null : KeyRowSchema.parse(row);
}

/** Revokes a key; false when there is none with this id. Isolates forget it within 10 s. */
export async function revokeApiKey(db: D1Database, id: string): Promise<boolean> {
  const { meta } = await db
    .prepare("UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?")
    .bind(Date.now(), id)
    .run();
  return meta.changes > 0;
}

/** A page of an account's keys, oldest first, without their secrets: the valid ones, or those that were revoked. */
export async function listApiKeys(
  db: D1Database,
  accountId: string,
  page: OldestFirst & { revoked: boolean },
): Promise<ApiKey[]> {
  const { createdAt, id } = page.after ?? BEFORE_ALL;
  const { results } = await db
    .prepare(
      `SELECT * FROM api_keys WHERE account_id = ? AND (created_at, id) > (?, ?) AND (revoked_at IS NOT NULL) = ?
       ORDER BY created_at, id LIMIT ?`,
    )
    .bind(accountId, createdAt, id, page.revoked ? 1 : 0, page.limit)
    .all();
  return results.map((row) => KeyRowSchema.parse(row));
}

/** The service that plugins find keys with. It does not cache: that is the plugin's to decide. */
export function createKeyDirectory(env: Stores): KeyDirectory {
  return {
    mayExist: async (key) => mayExist(env, KIND, key),
    async find(hash: string): Promise<Principal | null> {
      const row = await env.DB.prepare(
        `SELECT k.*, a.name AS account_name, a.retention_ms, a.weight FROM api_keys k JOIN accounts a ON a.id = k.account_id
           WHERE k.hash = ? AND k.revoked_at IS NULL`,
      )
        .bind(hash)
        .first();
      if (row === null) return null;
      const key = KeyRowSchema.parse(row);
      const account = AccountColumnsSchema.parse(row);
      return {
        accountId: key.accountId,
        ...account,
        credentialId: key.id,
        scopes: key.scopes,
        maxPriority: key.priority,
      };
    },
  };
}
