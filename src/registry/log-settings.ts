/** Which log the lanes produce to: numbered settings, the newest counts. Each new one raises the log's epoch. */
import * as z from "zod";
import { seal, unseal } from "../contract/sealing.ts";
import type { Env } from "../env.ts";

type Access = { username: string; password: string };

/** Where jobs go. `pool` is what pools are given to read there; null: they have settings of their own. */
export type LogChoice =
  | { driver: "embedded" }
  | { driver: "upstash"; url: string; producer: Access; pool: Access | null };

/** `since`: milliseconds since the epoch; 0 for what the environment says. */
export type LogSetting = { epoch: number; since: number; choice: LogChoice };

/** The newest setting was sealed with another secret: nobody can say where jobs go until the next one. */
export class SealedLogError extends Error {
  override readonly name = "SealedLogError";
}

type SettingsEnv = Pick<Env, "DB" | "EDGEPLANE_SECRET" | "LOG_URL" | "LOG_USERNAME" | "LOG_PASSWORD">;

const RowSchema = z.object({
  epoch: z.number(),
  driver: z.enum(["embedded", "upstash"]),
  url: z.string().nullable(),
  username: z.string().nullable(),
  password: z.string().nullable(),
  pool_username: z.string().nullable(),
  pool_password: z.string().nullable(),
  created_at: z.number(),
});

/**
 * The newest setting; before the first switch what the environment says (`LOG_URL`), which is epoch 0. Throws
 * `SealedLogError`.
 */
export async function readLogSetting(env: SettingsEnv): Promise<LogSetting> {
  const found = await env.DB.prepare("SELECT * FROM log_settings ORDER BY epoch DESC LIMIT 1").first();
  if (found === null) return { epoch: 0, since: 0, choice: choiceOfEnvironment(env) };
  const row = RowSchema.parse(found);
  const setting = { epoch: row.epoch, since: row.created_at };
  if (row.driver === "embedded") return { ...setting, choice: { driver: "embedded" } };
  const producer = await accessOf(env, row.username, row.password);
  const pool = await accessOf(env, row.pool_username, row.pool_password);
  if (producer === null) {
    throw new SealedLogError(
      "The log's password can't be unsealed: EDGEPLANE_SECRET has changed. Set the log anew with PUT /admin/v1/log.",
    );
  }
  return { ...setting, choice: { driver: "upstash", url: row.url ?? "", producer, pool } };
}

/** Makes `choice` the newest setting. */
export async function addLogSetting(env: SettingsEnv, choice: LogChoice): Promise<LogSetting> {
  const { EDGEPLANE_SECRET: secret } = env;
  const since = Date.now();
  const other = choice.driver === "upstash" ? choice : null;
  const row = await env.DB.prepare(
    `INSERT INTO log_settings SELECT COALESCE(MAX(epoch), 0) + 1, ?, ?, ?, ?, ?, ?, ? FROM log_settings RETURNING epoch`,
  )
    .bind(
      choice.driver,
      other?.url ?? null,
      other?.producer.username ?? null,
      other === null ? null : await seal(secret, other.producer.password),
      other?.pool?.username ?? null,
      other?.pool ? await seal(secret, other.pool.password) : null,
      since,
    )
    .first();
  return { epoch: z.object({ epoch: z.number() }).parse(row).epoch, since, choice };
}

/** Each is asked by a call of its own, a request may make 1,000, and any version may name one. */
export const MAX_LANES = 500;

/** The lanes that there may be: those that pools may serve, and others that models ask for. */
export async function knownLanes(db: D1Database): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT lane FROM (
         SELECT value AS lane, 0 AS turn FROM pool_tokens, json_each(pool_tokens.lanes) WHERE revoked_at IS NULL
         UNION ALL SELECT 'default', 0 UNION ALL SELECT manifest ->> 'lane', 1 FROM versions)
       WHERE lane IS NOT NULL GROUP BY lane ORDER BY min(turn), lane LIMIT ${MAX_LANES}`,
    )
    .all();
  return results.map((row) => z.object({ lane: z.string() }).parse(row).lane).toSorted();
}

function choiceOfEnvironment(env: SettingsEnv): LogChoice {
  if (env.LOG_URL === undefined || env.LOG_URL === "") return { driver: "embedded" };
  const producer = { username: env.LOG_USERNAME ?? "", password: env.LOG_PASSWORD ?? "" };
  return { driver: "upstash", url: env.LOG_URL, producer, pool: null };
}

async function accessOf(env: SettingsEnv, username: string | null, sealed: string | null): Promise<Access | null> {
  const password = sealed === null ? null : await unseal(env.EDGEPLANE_SECRET, sealed);
  return username === null || password === null ? null : { username, password };
}
