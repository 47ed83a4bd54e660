/**
 * The texts of API keys and pool tokens: a prefix, 256 random bits, and a MAC of 128 bits over both, in base64url. The
 * MAC says that a text was made here, so that a stranger's guesses are refused without a look at the database. It lets
 * nobody in: that is for the hash.
 *
 * Its secret is `CREDENTIAL_SECRET`, or else `EDGEPLANE_SECRET`; MACs of `CREDENTIAL_SECRET_BEFORE` hold too, during a
 * rotation. The key is derived from it for this purpose alone. Credentials from before there were MACs have none, and
 * stay valid: they are few, and the isolate remembers the beginnings of their hashes.
 */
import { keyFor, sign } from "../contract/signing.ts";
import { newSecret, sha256Hex } from "../../plugins/kernel/secret.ts";
import type { Env } from "../env.ts";
import { log } from "../telemetry/log.ts";
import type { SweepStep } from "./sweep.ts";
import { BEFORE_ALL } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

/** Credentials of one kind: what their texts begin with, and the table that has their hashes. */
export type CredentialKind = {
  prefix: "ep_" | "epp_" | "eps_";
  table: "api_keys" | "pool_tokens" | "scaling_tokens";
};
export type CredentialSecrets = Pick<Env, "EDGEPLANE_SECRET" | "CREDENTIAL_SECRET" | "CREDENTIAL_SECRET_BEFORE">;

const RANDOM_CHARS = 43;
/** 128 bits in base64url. */
const MAC_CHARS = 22;
const MIN_SECRET_LENGTH = 32;

/** How long the operator can see what was revoked. */
const KEEP_REVOKED_MS = 30 * 86_400_000;
const SWEEP_LIMIT = 500;

/** How long an isolate goes by what it read of credentials without a MAC; no new ones are made. */
const REMEMBERED_MS = 60_000;
/** With more of them, each is looked for in the database. */
const MAX_REMEMBERED = 100_000;
/** 48 bits of a hash in hexadecimal: a guess that meets one of 100,000 by chance costs a read, once in 3 billion. */
const START_CHARS = 12;

/** A new credential. Only its SHA-256 is to be kept. */
export async function newCredential(env: CredentialSecrets, prefix: CredentialKind["prefix"]): Promise<string> {
  const body = newSecret(prefix);
  return body + (await macOf(currentSecret(env), body));
}

/** The pool token that stands for a machine: the same whenever it is asked for, so that it need not be kept. */
export async function machineCredential(env: CredentialSecrets, machine: string): Promise<string> {
  const body = `epp_${await sign(await keyFor(env.EDGEPLANE_SECRET, "machine"), machine)}`;
  return body + (await macOf(currentSecret(env), body));
}

/**
 * Whether a text of the credential's form may be one that was made here: false means that it is not, and is told
 * without a read of the database but for one a minute, where texts without a MAC are asked for. Throws when that read
 * fails, or a secret is too short.
 */
export async function mayExist(
  env: CredentialSecrets & Pick<Env, "DB">,
  { prefix, table }: CredentialKind,
  text: string,
): Promise<boolean> {
  const body = text.slice(0, prefix.length + RANDOM_CHARS);
  const mac = text.slice(body.length);
  if (mac === "") return isKnownWithoutMac(env.DB, table, text);
  for (const secret of validSecrets(env)) if (isSame(await macOf(secret, body), mac)) return true;
  return false;
}

async function macOf(secret: string, body: string): Promise<string> {
  return (await sign(await keyFor(secret, "credential"), body)).slice(0, MAC_CHARS);
}

function currentSecret(env: CredentialSecrets): string {
  const { CREDENTIAL_SECRET: secret = "" } = env;
  return secret === "" ? env.EDGEPLANE_SECRET : checked("CREDENTIAL_SECRET", secret);
}

function validSecrets(env: CredentialSecrets): string[] {
  const { CREDENTIAL_SECRET_BEFORE: before = "" } = env;
  return [currentSecret(env), ...(before === "" ? [] : [checked("CREDENTIAL_SECRET_BEFORE", before)])];
}

function checked(name: string, secret: string): string {
  if (secret.length >= MIN_SECRET_LENGTH) return secret;
  throw new Error(`${name} must have at least ${MIN_SECRET_LENGTH} characters`);
}

/** Compares in a time that tells nothing of where two texts differ. */
function isSame(expected: string, given: string): boolean {
  if (expected.length !== given.length) return false;
  let difference = 0;
  for (let index = 0; index < expected.length; index++)
    difference |= expected.charCodeAt(index) ^ given.charCodeAt(index);
  return difference === 0;
}

/** Beginnings of hashes; null: there are too many to remember. */
type Starts = ReadonlySet<string> | null;

const remembered = new WeakMap<D1Database, Map<CredentialKind["table"], { starts: Promise<Starts>; until: number }>>();

async function isKnownWithoutMac(db: D1Database, table: CredentialKind["table"], text: string): Promise<boolean> {
  const starts = await startsWithoutMac(db, table);
  return starts === null || starts.has((await sha256Hex(text)).slice(0, START_CHARS));
}

async function startsWithoutMac(db: D1Database, table: CredentialKind["table"]): Promise<Starts> {
  const tables = remembered.get(db) ?? new Map<CredentialKind["table"], { starts: Promise<Starts>; until: number }>();
  remembered.set(db, tables);
  const known = tables.get(table);
  if (known !== undefined && known.until > Date.now()) return known.starts;
  const starts = readStarts(db, table);
  tables.set(table, { starts, until: Date.now() + REMEMBERED_MS });
  // What could not be read is asked for again at once.
  starts.catch(() => tables.delete(table));
  return starts;
}

async function readStarts(db: D1Database, table: CredentialKind["table"]): Promise<Starts> {
  const { results } = await db
    .prepare(
      `SELECT substr(hash, 1, ${START_CHARS}) AS start FROM ${table} WHERE has_mac = 0 AND revoked_at IS NULL LIMIT ?`,
    )
    .bind(MAX_REMEMBERED + 1)
    .all<{ start: string }>();
  if (results.length <= MAX_REMEMBERED) return new Set(results.map(({ start }) => start));
  log.warn("credentials_without_mac", { table, detail: "too many to remember: replace them, then revoke them" });
  return null;
}

/** Deletes keys and tokens that were revoked 30 days ago; those that have expired are revoked from then on. */
export async function sweepRevoked({ DB: db }: Pick<Env, "DB">, maxCalls: number): Promise<SweepStep> {
  if (maxCalls < 1) return { calls: 0, more: true };
  const before = Date.now() - KEEP_REVOKED_MS;
  const statements = (["api_keys", "pool_tokens", "scaling_tokens"] as const).map((table) =>
    db
      .prepare(`DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE revoked_at < ? LIMIT ${SWEEP_LIMIT})`)
      .bind(before),
  );
  const expired = db
    .prepare(
      `UPDATE api_keys SET revoked_at = expires_at WHERE id IN
         (SELECT id FROM api_keys WHERE expires_at < ? AND revoked_at IS NULL LIMIT ${SWEEP_LIMIT})`,
    )
    .bind(Date.now());
  const expiredTokens = db
    .prepare(
      `UPDATE pool_tokens SET revoked_at = expires_at WHERE id IN
         (SELECT id FROM pool_tokens WHERE expires_at < ? AND revoked_at IS NULL LIMIT ${SWEEP_LIMIT})`,
    )
    .bind(Date.now());
  const deleted = await db.batch([expired, expiredTokens, ...statements]);
  return { calls: 1, more: deleted.some(({ meta }) => meta.changes > 0) };
}

/** Revokes a token of the table; false when there is none with this id. */
export async function revokeToken(db: D1Database, { table }: CredentialKind, id: string): Promise<boolean> {
  const query = `UPDATE ${table} SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?`;
  const { meta } = await db.prepare(query).bind(Date.now(), id).run();
  return meta.changes > 0;
}

/** A page of the table's rows, oldest first: the valid ones, or those that were revoked. */
export async function tokenRows(
  db: D1Database,
  { table }: CredentialKind,
  { after, revoked, limit }: OldestFirst & { revoked: boolean },
): Promise<unknown[]> {
  const { createdAt, id } = after ?? BEFORE_ALL;
  const query = `SELECT * FROM ${table} WHERE (created_at, id) > (?, ?) AND (revoked_at IS NOT NULL) = ?
       ORDER BY created_at, id LIMIT ?`;
  const { results } = await db
    .prepare(query)
    .bind(createdAt, id, revoked ? 1 : 0, limit)
    .all();
  return results;
}
