/** Which pools can't read the log, as they say: for the operator who has moved it. */
import * as z from "zod";
import type { LogState } from "../contract/log-state.ts";

/** A pool says it each minute; one that is silent for so long has left, or has nothing to read. */
const MAX_AGE_MS = 15 * 60_000;
/** Of one token. More pools than these tell the operator no more. */
const MAX_ROWS = 100;

const RowSchema = z.object({ pool: z.string(), lane: z.string(), problem: z.string(), since: z.number() });
export type PoolLogProblem = z.infer<typeof RowSchema>;

/** Notes what a pool says; null takes it back. What is too old goes. */
export async function noteLogState(db: D1Database, token: string, { pool, lane, problem }: LogState): Promise<void> {
  const now = Date.now();
  const forget = db
    .prepare("DELETE FROM pool_log_problems WHERE token = ?1 AND (seen_at < ?2 OR (pool = ?3 AND lane = ?4 AND ?5))")
    .bind(token, now - MAX_AGE_MS, pool, lane, problem === null ? 1 : 0);
  if (problem === null) {
    await forget.run();
    return;
  }
  const note = db
    .prepare(
      `INSERT INTO pool_log_problems SELECT ?1, ?2, ?3, ?4, ?5, ?5
       WHERE (SELECT COUNT(*) FROM pool_log_problems WHERE token = ?1) < ${MAX_ROWS}
          OR EXISTS (SELECT 1 FROM pool_log_problems WHERE token = ?1 AND pool = ?2 AND lane = ?3)
       ON CONFLICT DO UPDATE SET problem = excluded.problem, seen_at = excluded.seen_at`,
    )
    .bind(token, pool, lane, problem, now);
  await db.batch([forget, note]);
}

/** Those of tokens that are still valid, the longest first. */
export async function listLogProblems(db: D1Database): Promise<PoolLogProblem[]> {
  const { results } = await db
    .prepare(
      `SELECT pool, lane, problem, since FROM pool_log_problems JOIN pool_tokens ON pool_tokens.id = token
       WHERE seen_at >= ? AND revoked_at IS NULL ORDER BY since, pool, lane LIMIT ${MAX_ROWS}`,
    )
    .bind(Date.now() - MAX_AGE_MS)
    .all();
  return z.array(RowSchema).parse(results);
}
