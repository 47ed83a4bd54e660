/**
 * The list of dead letters: what the operator looks through. It holds ids, models and reasons; the predictions stay in
 * their shards.
 */
import * as z from "zod";
import { deadLetterReasons } from "../contract/published.ts";
import type { DeadLetterReason } from "../contract/published.ts";
import type { Env } from "../env.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { QuotaVars } from "./quotas.ts";
import { isDatabaseFull } from "./sql.ts";
import type { SweepStep } from "./sweep.ts";

/** Entries outlive their predictions' data, so that one can see what can be replayed no more. */
const KEEP_MS = 8 * 86_400_000;
const SWEEP_LIMIT = 500;

const RowSchema = z
  .object({
    id: z.string(),
    model: z.string(),
    version: z.string(),
    lane: z.string(),
    reason: z.enum(deadLetterReasons),
    attempt: z.number(),
    ended_at: z.number(),
    replayed_as: z.string().nullable(),
  })
  .transform(({ ended_at, replayed_as, ...rest }) => ({ ...rest, endedAt: ended_at, replayedAs: replayed_as }));
export type DeadLetter = z.infer<typeof RowSchema>;

/** `from` and `to` are milliseconds since the epoch, `to` excluded; null means no bound. */
export type DeadLetterFilter = {
  model: string | null;
  lane: string | null;
  reason: DeadLetterReason | null;
  from: number | null;
  to: number | null;
  /** True: only those that were not replayed. */
  open: boolean;
};

/** Where a page begins: behind this entry, towards older ones. */
export type DeadLetterPlace = { endedAt: number; id: string };

/** Deletes entries that are too old. */
export async function sweepDeadLetters({ DB: db }: Pick<Env, "DB">, maxCalls: number): Promise<SweepStep> {
  if (maxCalls < 1) return { calls: 0, more: true };
  const { meta } = await db
    .prepare(
      `DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE ended_at < ? LIMIT ${SWEEP_LIMIT})`,
    )
    .bind(Date.now() - KEEP_MS)
    .run();
  return { calls: 1, more: meta.changes > 0 };
}

/** A dead letter of an account, to be noted. */
export type NewDeadLetter = Omit<DeadLetter, "replayedAs"> & { accountId: string };

/**
 * Notes dead letters; one that is there stays as it is. Of an account that has more than its quota, the oldest go. In a
 * database that is full none is noted, and the log says so: predictions end all the same.
 */
export async function recordDeadLetters(
  env: QuotaVars & Pick<Env, "DB">,
  letters: readonly NewDeadLetter[],
): Promise<void> {
  if (letters.length === 0) return;
  const insert = `INSERT INTO dead_letters (id, model, version, lane, reason, attempt, ended_at, account_id)
    SELECT value ->> 'id', value ->> 'model', value ->> 'version', value ->> 'lane', value ->> 'reason',
           value ->> 'attempt', value ->> 'endedAt', value ->> 'accountId' FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`;
  const surplus = `DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters WHERE account_id = ?1 ORDER BY ended_at, id LIMIT max(0,
      coalesce((SELECT count FROM usage WHERE owner = ?1 AND kind = 'dead_letters'), 0) - ?2))`;
  const quota = numericVar(env, "QUOTA_DEAD_LETTERS");
  const accounts = [...new Set(letters.map(({ accountId }) => accountId))];
  try {
    await env.DB.batch([
      env.DB.prepare(insert).bind(JSON.stringify(letters)),
      ...accounts.map((account) => env.DB.prepare(surplus).bind(account, quota)),
    ]);
  } catch (thrown) {
    if (!isDatabaseFull(thrown)) throw thrown;
    log.error("dead_letters_dropped", { deadLetters: letters.length, reason: reasonOf(thrown) });
  }
}

/** Dead letters that fit, the newest first. */
export async function listDeadLetters(
  db: D1Database,
  filter: DeadLetterFilter,
  after: DeadLetterPlace | null,
  limit: number,
): Promise<DeadLetter[]> {
  const place = after ?? { endedAt: Number.MAX_SAFE_INTEGER, id: "" };
  const { results } = await db
    .prepare(
      `SELECT * FROM dead_letters
       WHERE (ended_at, id) < (?1, ?2) AND ended_at >= ?3 AND ended_at < ?4 AND (?5 IS NULL OR model = ?5)
         AND (?6 IS NULL OR lane = ?6) AND (?7 IS NULL OR reason = ?7) AND (?8 = 0 OR replayed_as IS NULL)
       ORDER BY ended_at DESC, id DESC LIMIT ?9`,
    )
    .bind(
      place.endedAt,
      place.id,
      filter.from ?? 0,
      filter.to ?? Number.MAX_SAFE_INTEGER,
      filter.model,
      filter.lane,
      filter.reason,
      filter.open ? 1 : 0,
      limit,
    )
    .all();
  return results.map((row) => RowSchema.parse(row));
}

/** Takes out what can be replayed no more. */
export async function forgetDeadLetters(db: D1Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await db
    .prepare("DELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each(?))")
    .bind(JSON.stringify(ids))
    .run();
}

/** Notes which new predictions dead letters became. */
export async function noteReplays(
  db: D1Database,
  replays: readonly { id: string; replayedAs: string }[],
): Promise<void> {
  if (replays.length === 0) return;
  await db
    .prepare(
      `UPDATE dead_letters SET replayed_as = (SELECT value ->> 'replayedAs' FROM json_each(?1) WHERE value ->> 'id' = dead_letters.id)
       WHERE id IN (SELECT value ->> 'id' FROM json_each(?1))`,
    )
    .bind(JSON.stringify(replays))
    .run();
}
