/** Pool tokens: what a GPU host holds. Scoped to lanes and to the owners of models; says nothing about tenants. */
import * as z from "zod";
import { sha256Hex } from "../../plugins/kernel/secret.ts";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { LaneNameSchema } from "../contract/job.ts";
import { NameSchema } from "../contract/manifest.ts";
import type { Env } from "../env.ts";
import type { PoolIdentity } from "../fleet/types.ts";
import { machineCredential, mayExist, newCredential, revokeToken, tokenRows } from "./credentials.ts";
import type { CredentialKind, CredentialSecrets } from "./credentials.ts";
import { StringListColumnSchema } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

/** 256 random bits and a MAC; tokens from before there were MACs have none. */
const TOKEN_PATTERN = /^epp_[A-Za-z0-9_-]{43}(?:[A-Za-z0-9_-]{22})?$/;
const KIND: CredentialKind = { prefix: "epp_", table: "pool_tokens" };
const HINT_LENGTH = 4;
const CACHE_MS = 10_000;
const UNKNOWN_CACHE_MS = 2000;
const CACHED_TOKENS = 2000;
/** Of a token: it opens something now. Tokens of machines expire. */
const VALID = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)";
const UNKNOWN_CACHED_TOKENS = 200;

type Stores = CredentialSecrets & Pick<Env, "DB">;

export const NewPoolTokenSchema = z.strictObject({
  name: z.string().max(128).default(""),
  lanes: z.array(LaneNameSchema).min(1).max(64).default(["default"]),
  may_register_models: z.boolean().default(false),
  owners: z.array(NameSchema).min(1).max(64).default(["local"]).meta({
    description: "The owners whose models it may register, where `may_register_models` lets it: on its own lanes only.",
  }),
  may_store_environments: z.boolean().default(false).meta({
    description:
      "Whether other pools of these owners run environments that this one built: only for hosts that you trust as your own.",
  }),
});

const TokenRowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    hint: z.string(),
    lanes: StringListColumnSchema,
    may_register_models: z.number(),
    owners: StringListColumnSchema,
    /** Before its migration there is none. */
    may_store_environments: z.number().default(0),
    created_at: z.number(),
    revoked_at: z.number().nullable(),
    machine: z.string().nullable().default(null),
  })
  .transform((row) => ({
    id: row.id,
    name: row.name,
    hint: row.hint,
    lanes: row.lanes,
    mayRegisterModels: row.may_register_models === 1,
    owners: row.owners,
    mayStoreEnvironments: row.may_store_environments === 1,
    createdAt: row.created_at,
    revokedAt: row.revoked_at,
    /** The rented machine that it is bound to. */
    machine: row.machine,
  }));
export type PoolToken = z.output<typeof TokenRowSchema>;

const cached = createTtlCache<PoolIdentity>(CACHED_TOKENS);
/** Apart, so that what a stranger sends drives out no valid token. */
const unknown = createTtlCache<true>(UNKNOWN_CACHED_TOKENS);
const validIds = createTtlCache<boolean>(CACHED_TOKENS);

/** Makes a pool token (`epp_…`). `secret` is the token itself: nobody can read it again. */
export async function createPoolToken(
  env: Stores,
  wanted: z.output<typeof NewPoolTokenSchema>,
): Promise<{ token: PoolToken; secret: string }> {
  const secret = await newCredential(env, KIND.prefix);
  const token: PoolToken = {
    id: crypto.randomUUID(),
    name: wanted.name,
    hint: secret.slice(-HINT_LENGTH),
    lanes: wanted.lanes,
    mayRegisterModels: wanted.may_register_models,
    owners: wanted.owners,
    mayStoreEnvironments: wanted.may_store_environments,
    createdAt: Date.now(),
    revokedAt: null,
    machine: null,
  };
  const hash = await sha256Hex(secret);
  await env.DB.prepare(
    `INSERT INTO pool_tokens (id, name, hash, hint, lanes, may_register_models, owners, may_store_environments, created_at, has_mac)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
  )
    .bind(
      token.id,
      token.name,
      hash,
      token.hint,
      JSON.stringify(token.lanes),
      token.mayRegisterModels ? 1 : 0,
      JSON.stringify(token.owners),
      token.mayStoreEnvironments ? 1 : 0,
      token.createdAt,
    )
    .run();
  return { token, secret };
}

/**
 * The pool token of a rented machine, good until then; asked for again, it is the same. Its id is the machine's.
 */
export async function machineToken(
  env: Stores,
  machine: string,
  { lanes, owners, expiresAt }: { lanes: readonly string[]; owners: readonly string[]; expiresAt: number },
): Promise<string> {
  const secret = await machineCredential(env, machine);
  const hash = await sha256Hex(secret);
  await env.DB.prepare(
    `INSERT INTO pool_tokens (id, name, hash, hint, lanes, may_register_models, owners, created_at, has_mac, machine, expires_at)
       VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, 1, ?1, ?8) ON CONFLICT DO NOTHING`,
  )
    .bind(
      ...[machine, `machine ${machine}`, hash, secret.slice(-HINT_LENGTH), JSON.stringify(lanes)],
      ...[JSON.stringify(owners), Date.now(), expiresAt],
    )
    .run();
  return secret;
}

/** The machine stays: its token is good until then. */
export async function renewMachineToken(db: D1Database, machine: string, expiresAt: number): Promise<void> {
  await db
    .prepare("UPDATE pool_tokens SET expires_at = ? WHERE id = ? AND machine IS NOT NULL AND revoked_at IS NULL")
    .bind(expiresAt, machine)
    .run();
}

/** Revokes a pool token; false when there is none with this id. Isolates forget it within 10 s. */
export async function revokePoolToken(db: D1Database, id: string): Promise<boolean> {
  return revokeToken(db, KIND, id);
}

/** A page of the pool tokens, oldest first, without their secrets: the valid ones, or those that were revoked. */
export async function listPoolTokens(db: D1Database, page: OldestFirst & { revoked: boolean }): Promise<PoolToken[]> {
  return (await tokenRows(db, KIND, page)).map((row) => TokenRowSchema.parse(row));
}

/** Whether the token with this id still opens anything. Remembered for at most 10 s in the isolate. */
export async function isPoolTokenValid(env: Pick<Env, "DB">, id: string): Promise<boolean> {
  const known = validIds.get(id);
  if (known !== undefined) return known;
  const row = await env.DB.prepare(`SELECT 1 FROM pool_tokens WHERE id = ? AND ${VALID}`).bind(id, Date.now()).first();
  validIds.set(id, row !== null, CACHE_MS);
  return row !== null;
}

/** Who a pool token is; null when it is unknown or revoked. Remembered for at most 10 s in the isolate. */
export async function identifyPool(env: Stores, token: string): Promise<PoolIdentity | null> {
  if (!TOKEN_PATTERN.test(token)) return null;
  const known = cached.get(token);
  if (known !== undefined) return known;
  if (unknown.get(token) === true || !(await mayExist(env, KIND, token))) return null;
  const row = await env.DB.prepare(`SELECT * FROM pool_tokens WHERE hash = ? AND ${VALID}`)
    .bind(await sha256Hex(token), Date.now())
    .first();
  if (row === null) {
    unknown.set(token, true, UNKNOWN_CACHE_MS);
    return null;
  }
  const found = TokenRowSchema.parse(row);
  const { lanes, mayRegisterModels, owners, mayStoreEnvironments, machine } = found;
  const bound = machine === null ? {} : { machine };
  const identity = { poolTokenId: found.id, lanes, mayRegisterModels, owners, mayStoreEnvironments, ...bound };
  cached.set(token, identity, CACHE_MS);
  return identity;
}
