/**
 * The pools that have come, for the operator: written when a session begins, drains, loses its channel or ends, and
 * never by what runs. A list of them wakes no session.
 */
import * as z from "zod";
import { DeviceSchema } from "../contract/channel.ts";
import type { PoolMessage } from "../contract/channel.ts";
import { modelPath } from "../contract/manifest.ts";
import type { Env } from "../env.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { BEFORE_ALL, StringListColumnSchema } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

/** Of one token: sessions that are over, the last of which are kept, and all. */
const KEPT_ENDED = 20;
const MAX_OF_TOKEN = 1000;
/** Of those that have no model yet on a lane, so many are told at once; the others ask by themselves. */
const MAX_TOLD = 200;

export const poolStates = ["connected", "draining", "away", "ended"] as const;
export type PoolState = (typeof poolStates)[number];
type Hello = Extract<PoolMessage, { type: "hello" }>;

const RowSchema = z
  .object({
    session: z.string(),
    token: z.string(),
    token_name: z.string().nullable(),
    name: z.string(),
    version: z.string(),
    lanes: StringListColumnSchema,
    devices: z.string().transform((text) => z.array(DeviceSchema).parse(JSON.parse(text))),
    isolation: z.string().nullable(),
    models: StringListColumnSchema,
    state: z.enum(poolStates),
    connected_at: z.number(),
    seen_at: z.number(),
  })
  .transform(({ token_name: tokenName, connected_at: connectedAt, seen_at: seenAt, ...row }) => ({
    ...row,
    tokenName,
    connectedAt,
    seenAt,
  }));
/** `models`: `owner/name:version`. `seenAt`: when its state was noted last. */
export type Pool = z.output<typeof RowSchema>;

/** Notes a pool by its hello; the session of its life before is over. Never rejects: it is nobody's prediction. */
export async function notePool({ DB }: Pick<Env, "DB">, token: string, hello: Hello): Promise<void> {
  const { session, previous = "", pool, version, lanes, devices, isolation = null, models } = hello;
  const names = models.map((manifest) => `${modelPath(manifest)}:${manifest.version}`);
  const note = DB.prepare(
    `INSERT INTO pools SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'connected', ?9, ?9
       WHERE EXISTS (SELECT 1 FROM pools WHERE session = ?1)
          OR (SELECT COUNT(*) FROM pools WHERE token = ?2) < ${MAX_OF_TOKEN}
     ON CONFLICT DO UPDATE SET name = ?3, version = ?4, lanes = ?5, devices = ?6, isolation = ?7, models = ?8,
       state = 'connected', seen_at = ?9 WHERE token = ?2`,
  ).bind(
    ...[session, token, pool, version, JSON.stringify(lanes), JSON.stringify(devices)],
    ...[isolation, JSON.stringify(names), Date.now()],
  );
  const forget = DB.prepare(
    `DELETE FROM pools WHERE token = ?1 AND state = 'ended' AND (session = ?2 OR session IN (
       SELECT session FROM pools WHERE token = ?1 AND state = 'ended' ORDER BY seen_at DESC LIMIT -1 OFFSET ${KEPT_ENDED}))`,
  ).bind(token, previous);
  await DB.batch([forget, note]).catch(notNoted);
}

/** Notes what became of a session. Never rejects. */
export async function notePoolState({ DB }: Pick<Env, "DB">, session: string, state: PoolState): Promise<void> {
  await DB.prepare("UPDATE pools SET state = ?, seen_at = ? WHERE session = ?")
    .bind(state, Date.now(), session)
    .run()
    .catch(notNoted);
}

/**
 * How many devices the token's session named in its last hello; of a session that isn't noted, the most of any of the
 * token's. Null: the token has none.
 */
export async function devicesOfPool(db: D1Database, token: string, session: string): Promise<number | null> {
  return db
    .prepare(
      `SELECT COALESCE((SELECT json_array_length(devices) FROM pools WHERE session = ?1 AND token = ?2),
         (SELECT MAX(json_array_length(devices)) FROM pools WHERE token = ?2)) AS devices`,
    )
    .bind(session, token)
    .first<number>("devices");
}

/**
 * How many devices the token's sessions have together that are not over; at least the most of any of them, as not each
 * hello is noted.
 */
export async function devicesOfToken(db: D1Database, token: string): Promise<number> {
  const count = await db
    .prepare(
      `SELECT MAX(TOTAL(json_array_length(devices)) FILTER (WHERE state <> 'ended'), MAX(json_array_length(devices)))
         AS devices FROM pools WHERE token = ?`,
    )
    .bind(token)
    .first<number>("devices");
  return count ?? 0;
}

/**
 * Sessions of connected pools whose tokens have the owner and one of the lanes, and that serve none of these lanes yet:
 * a pool without models serves no lane.
 */
export async function poolsElsewhere(db: D1Database, owner: string, lanes: readonly string[]): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT p.session FROM pools p CROSS JOIN pool_tokens t ON t.id = p.token
       WHERE p.state = 'connected' AND t.revoked_at IS NULL AND EXISTS (SELECT 1 FROM json_each(t.owners) WHERE value = ?1)
         AND EXISTS (SELECT 1 FROM json_each(t.lanes) WHERE value IN (SELECT value FROM json_each(?2)))
         AND NOT EXISTS (SELECT 1 FROM json_each(p.lanes) WHERE value IN (SELECT value FROM json_each(?2)))
       ORDER BY p.seen_at DESC LIMIT ${MAX_TOLD}`,
    )
    .bind(owner, JSON.stringify(lanes))
    .all<{ session: string }>();
  return results.map(({ session }) => session);
}

/** A page of the pools of valid tokens, oldest first, behind a session; without those that are over, or these only. */
export async function listPools(db: D1Database, page: OldestFirst & { ended: boolean }): Promise<Pool[]> {
  const { createdAt, id } = page.after ?? BEFORE_ALL;
  const { results } = await db
    .prepare(
      `SELECT pools.*, pool_tokens.name AS token_name FROM pools JOIN pool_tokens ON pool_tokens.id = pools.token
       WHERE (connected_at, session) > (?, ?) AND (state = 'ended') = ? AND revoked_at IS NULL
       ORDER BY connected_at, session LIMIT ?`,
    )
    .bind(createdAt, id, page.ended ? 1 : 0, page.limit)
    .all();
  return results.map((row) => RowSchema.parse(row));
}

function notNoted(error: unknown): void {
  log.warn("pool_not_noted", { reason: reasonOf(error) });
}
