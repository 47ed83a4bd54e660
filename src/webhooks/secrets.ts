/**
 * The secrets of accounts' webhooks. An account has one current secret, the one it was made with until the first
 * rotation; a replaced one signs beside it for a day, so that receivers can change over without losing a message.
 */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { isDatabaseFull } from "../registry/sql.ts";
import { newWebhookSecret } from "./signature.ts";

/** How long a replaced secret goes on signing. */
export const ROTATION_OVERLAP_MS = 86_400_000;
/** Replaced secrets that still sign: as many signatures as a message carries. */
const MAX_REPLACED = 7;

const CACHE_MS = 10_000;
const CACHED_ACCOUNTS = 10_000;

const ReplacedSchema = z.object({ count: z.number(), first: z.number().nullable() });
const RowsSchema = z.array(z.object({ secret: z.string() }));

type Database = Pick<Env, "DB">;

const cached = createTtlCache<string[]>(CACHED_ACCOUNTS);

/**
 * The secrets that sign an account's webhooks at present, the current one first; empty when there is no such account.
 * Cached for 10 s.
 */
export async function webhookSecrets(env: Database, accountId: string): Promise<string[]> {
  const known = cached.get(accountId);
  if (known !== undefined) return known;
  const found = (await readSecrets(env.DB, accountId)) ?? (await firstSecrets(env.DB, accountId));
  if (found.length > 0) cached.set(accountId, found, CACHE_MS);
  return found;
}

/** The current secret of an account, to show it to its owner. Throws `not_found` when there is no such account. */
export async function currentWebhookSecret(env: Database, accountId: string): Promise<string> {
  const [current] = (await readSecrets(env.DB, accountId)) ?? (await firstSecrets(env.DB, accountId));
  if (current === undefined) throw new EdgeplaneError("not_found", "There is no such account.");
  return current;
}

/**
 * Makes a new current secret and answers it; the one before signs on for a day. Other isolates follow within 10 s.
 * Throws `not_found` when there is no such account, and `rate_limited` when seven replaced secrets still sign.
 */
export async function rotateWebhookSecret(env: Database, accountId: string): Promise<string> {
  await currentWebhookSecret(env, accountId);
  const now = Date.now();
  await checkRotations(env.DB, accountId, now);
  const secret = newWebhookSecret();
  await env.DB.batch([
    env.DB.prepare("DELETE FROM webhook_secrets WHERE account_id = ? AND expires_at <= ?").bind(accountId, now),
    env.DB.prepare("UPDATE webhook_secrets SET expires_at = ? WHERE account_id = ? AND expires_at IS NULL").bind(
      now + ROTATION_OVERLAP_MS,
      accountId,
    ),
    env.DB.prepare("INSERT INTO webhook_secrets (account_id, secret, created_at) VALUES (?, ?, ?)").bind(
      accountId,
      secret,
      now,
    ),
  ]);
  cached.delete(accountId);
  return secret;
}

async function readSecrets(db: D1Database, accountId: string): Promise<string[] | null> {
  const { results } = await db
    .prepare(
      `SELECT secret FROM webhook_secrets WHERE account_id = ? AND (expires_at IS NULL OR expires_at > ?)
       ORDER BY expires_at IS NULL DESC, created_at DESC LIMIT 8`,
    )
    .bind(accountId, Date.now())
    .all();
  const rows = RowsSchema.parse(results);
  return rows.length === 0 ? null : rows.map((row) => row.secret);
}

/**
 * The secret that the account was made with becomes its current one. A full database can't note that, and webhooks are
 * signed with it all the same.
 */
async function firstSecrets(db: D1Database, accountId: string): Promise<string[]> {
  try {
    await db
      .prepare(
        `INSERT OR IGNORE INTO webhook_secrets (account_id, secret, created_at)
         SELECT id, webhook_secret, created_at FROM accounts WHERE id = ?`,
      )
      .bind(accountId)
      .run();
  } catch (thrown) {
    if (!isDatabaseFull(thrown)) throw thrown;
    const first = db.prepare("SELECT webhook_secret AS secret FROM accounts WHERE id = ?").bind(accountId);
    return RowsSchema.parse((await first.all()).results).map(({ secret }) => secret);
  }
  return (await readSecrets(db, accountId)) ?? [];
}

async function checkRotations(db: D1Database, accountId: string, now: number): Promise<void> {
  const row = await db
    .prepare(
      "SELECT count(*) AS count, min(expires_at) AS first FROM webhook_secrets WHERE account_id = ? AND expires_at > ?",
    )
    .bind(accountId, now)
    .first();
  const { count, first } = ReplacedSchema.parse(row);
  if (count < MAX_REPLACED || first === null) return;
  const detail = `The account's secret was replaced ${count} times within a day, and the replaced ones sign on for a day.`;
  throw new EdgeplaneError("rate_limited", detail, { retryAfterMs: first - now });
}
