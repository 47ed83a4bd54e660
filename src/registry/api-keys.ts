/** API keys: made once, shown once, kept as a hash. */
import * as z from "zod";
import { sha256Hex } from "../../plugins/kernel/secret.ts";
import { scopes } from "../../plugins/kernel/phases.ts";
import type { Principal } from "../../plugins/kernel/phases.ts";
import type { KeyDirectory } from "../../plugins/kernel/services.ts";
import { PrioritySchema } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { DEFAULT_RETENTION_MS } from "./accounts.ts";
import { mayExist, newCredential } from "./credentials.ts";
import type { CredentialKind, CredentialSecrets } from "./credentials.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import { BEFORE_ALL, StringListColumnSchema } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

const HINT_LENGTH = 4;
const MODEL_PATTERN = /^[^/\s*]{1,64}\/(?:[^/\s*]{1,64}|\*)$/;
const KIND: CredentialKind = { prefix: "ep_", table: "api_keys" };

type Stores = CredentialSecrets & QuotaVars & Pick<Env, "DB">;

const ModelsSchema = z
  .array(z.string().regex(MODEL_PATTERN, "names a model as owner/name, or all of an owner as owner/*"))
  .min(1)
  .max(100)
  .nullable()
  .meta({
    description: "The models that the key may use: `owner/name`, or `owner/*`. Null: all that its account may.",
  });

const rights = {
  name: z.string().max(128),
  scopes: z.array(z.enum(scopes)).min(1),
  priority: PrioritySchema.meta({
    description: "The highest priority that a prediction made with the key may ask for.",
  }),
  models: ModelsSchema,
  expires_at: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .nullable()
    .meta({ description: "From then on it is refused. Null: never." }),
};

export const NewKeySchema = z.strictObject({
  account: z.string().min(1).max(64),
  name: rights.name.default(""),
  scopes: rights.scopes.default([...scopes]),
  priority: rights.priority.default("normal"),
  models: rights.models.default(null),
  expires_at: rights.expires_at.default(null),
});
export type NewKey = z.output<typeof NewKeySchema>;

export const KeyChangeSchema = z
  .strictObject(rights)
  .partial()
  .refine((change) => Object.keys(change).length > 0, "says nothing to change")
  .meta({ minProperties: 1 });
export type KeyChange = z.output<typeof KeyChangeSchema>;

export const RotationSchema = z.strictObject({
  overlap_s: z
    .number()
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(86_400)
    .meta({ description: "For how many seconds the old key works on: 0 to 30 days." }),
});

const KeyRowSchema = z
  .object({
    id: z.string(),
    account_id: z.string(),
    name: z.string(),
    hint: z.string(),
    scopes: StringListColumnSchema,
    priority: PrioritySchema,
    models: StringListColumnSchema.nullable(),
    created_at: z.number(),
    expires_at: z.number().nullable(),
    revoked_at: z.number().nullable(),
    first_id: z.string().nullable(),
  })
  .transform((row) => ({
    id: row.id,
    accountId: row.account_id,
    name: row.name,
    hint: row.hint,
    scopes: scopes.filter((scope) => row.scopes.includes(scope)),
    priority: row.priority,
    models: row.models,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    firstId: row.first_id ?? row.id,
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
  rightsOf: Omit<NewKey, "account">,
): Promise<{ key: ApiKey; secret: string }> {
  const id = crypto.randomUUID();
  return insert(env, { id, accountId, firstId: id, ...rightsOf });
}

/** `behind` is done in the same transaction. */
async function insert(
  env: Stores,
  { expires_at: expiresAt, ...one }: Omit<NewKey, "account"> & Pick<ApiKey, "id" | "accountId" | "firstId">,
  behind: readonly D1PreparedStatement[] = [],
): Promise<{ key: ApiKey; secret: string }> {
  const secret = await newCredential(env, KIND.prefix);
  const key: ApiKey = { ...one, expiresAt, hint: secret.slice(-HINT_LENGTH), createdAt: Date.now(), revokedAt: null };
  const inserting = env.DB.prepare(
    `INSERT INTO api_keys (id, account_id, name, hash, hint, scopes, priority, created_at, has_mac, models, expires_at, first_id)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11 WHERE ${hasRoom(env, "keys", "?2")}`,
  ).bind(
    ...[key.id, key.accountId, key.name, await sha256Hex(secret), key.hint, JSON.stringify(key.scopes)],
    ...[key.priority, key.createdAt, listText(key.models), expiresAt, key.firstId],
  );
  const [inserted] = await env.DB.batch([inserting, ...behind]);
  if (inserted === undefined || inserted.meta.changes === 0) throw quotaExceeded(env, "keys");
  return { key, secret };
}

/** Changes what a key may; null when there is none with this id that is valid. Isolates know within 10 s. */
export async function changeApiKey(db: D1Database, id: string, change: KeyChange): Promise<ApiKey | null> {
  const columns: [string, string | number | null][] = [];
  if (change.name !== undefined) columns.push(["name", change.name]);
  if (change.scopes !== undefined) columns.push(["scopes", JSON.stringify(change.scopes)]);
  if (change.priority !== undefined) columns.push(["priority", change.priority]);
  if (change.models !== undefined) columns.push(["models", listText(change.models)]);
  if (change.expires_at !== undefined) columns.push(["expires_at", change.expires_at]);
  const set = columns.map(([column], index) => `${column} = ?${index + 2}`).join(", ");
  const row = await db
    .prepare(`UPDATE api_keys SET ${set} WHERE id = ?1 AND revoked_at IS NULL RETURNING *`)
    .bind(id, ...columns.map(([, value]) => value))
    .first();
  return row === null ? null : KeyRowSchema.parse(row);
}

/**
 * Makes a key that takes the place of another: it may the same, and limits count both as one. The old one works on for
 * `overlapMs`. Null when there is none with this id that is valid. Throws `quota_exceeded`.
 */
export async function rotateApiKey(
  env: Stores,
  id: string,
  overlapMs: number,
): Promise<{ key: ApiKey; secret: string } | null> {
  const now = Date.now();
  const row = await env.DB.prepare("SELECT * FROM api_keys WHERE id = ? AND revoked_at IS NULL").bind(id).first();
  const old = row === null ? null : KeyRowSchema.parse(row);
  if (old === null || (old.expiresAt !== null && old.expiresAt <= now)) return null;
  const { accountId, firstId, name, scopes: granted, priority, models, expiresAt } = old;
  const own = crypto.randomUUID();
  const ending = env.DB.prepare(
    `UPDATE api_keys SET expires_at = min(coalesce(expires_at, ?2), ?2)
       WHERE id = ?1 AND EXISTS (SELECT 1 FROM api_keys WHERE id = ?3)`,
  ).bind(id, now + overlapMs, own);
  const rights = { name, scopes: granted, priority, models, expires_at: expiresAt };
  return insert(env, { id: own, accountId, firstId, ...rights }, [ending]);
}

/** By its id, also one that was revoked; null when there is none. */
export async function findApiKey(db: D1Database, id: string): Promise<ApiKey | null> {
  const row = await db.prepare("SELECT * FROM api_keys WHERE id = ?").bind(id).first();
  return row === null ? null : KeyRowSchema.parse(row);
}

function listText(list: readonly string[] | null): string | null {
  return list === null ? null : JSON.stringify(list);
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
    async find(hash) {
      const row = await env.DB.prepare(
        `SELECT k.*, a.name AS account_name, a.retention_ms, a.weight FROM api_keys k JOIN accounts a ON a.id = k.account_id
           WHERE k.hash = ?1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?2)`,
      )
        .bind(hash, Date.now())
        .first();
      if (row === null) return null;
      const key = KeyRowSchema.parse(row);
      const account = AccountColumnsSchema.parse(row);
      const principal: Principal = {
        accountId: key.accountId,
        ...account,
        credentialId: key.firstId,
        scopes: key.scopes,
        maxPriority: key.priority,
        ...(key.models === null ? {} : { models: key.models }),
      };
      return { principal, expiresAt: key.expiresAt };
    },
  };
}
