/**
 * Which chunks of pushed files an owner has here. A row is made before the content is stored, so that its bytes count
 * from the beginning and a sweep finds whatever became of it; a bundle counts its chunks (`refs`).
 */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { chunkKey, isOfEnvironments } from "../storage/chunks.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import type { SweepStep } from "./sweep.ts";

/** How long a chunk stays that no bundle has, after it was last asked for. */
export const UNUSED_CHUNK_MS = 86_400_000;
/** What was noted so lately as asked for is not noted again. */
const NOTED_MS = 3_600_000;
/** Chunks that one statement names: a parameter may have 2 MB, and a question names so many. */
const NAMED_IN_ONE = 10_000;
const SWEEP_LIMIT = 500;
const SWEEP_CALLS = 4;

const STORED = 1;
const GOING = 2;

type Stores = QuotaVars & Pick<Env, "DB">;
/** A chunk's SHA-256 in hexadecimal, and its size. */
export type SizedChunk = readonly [sha256: string, bytes: number];

const StateRowSchema = z.object({ sha256: z.string(), state: z.number().nullable() });
const UnlikeRowSchema = z.object({ sha256: z.string(), bytes: z.number().nullable() });
/** A chunk that isn't there (`bytes` null), or that has another size than it should. */
export type UnlikeChunk = z.output<typeof UnlikeRowSchema>;

/** Those of `chunks` that the owner doesn't have here. The others stay for a day at least. */
export async function missingChunks(db: D1Database, owner: string, chunks: readonly string[]): Promise<string[]> {
  const unlike = await unlikeChunks(db, owner, [...new Set(chunks)], "1");
  return unlike.map(({ sha256 }) => sha256);
}

/**
 * Of the chunks that a bundle needs, the first that aren't there as it says: `limit` of them. The others stay for a day
 * at least.
 */
export async function unfitChunks(
  db: D1Database,
  owner: string,
  chunks: readonly SizedChunk[],
  limit: number,
): Promise<UnlikeChunk[]> {
  const unfit: UnlikeChunk[] = [];
  for (const piece of piecesOf(chunks)) unfit.push(...(await unlikeChunks(db, owner, piece, "2", limit)));
  return unfit.slice(0, limit);
}

/** `form` 1: of hashes; 2: of hashes with the sizes that they must have. */
async function unlikeChunks(
  db: D1Database,
  owner: string,
  chunks: readonly (string | SizedChunk)[],
  form: "1" | "2",
  limit = chunks.length,
): Promise<UnlikeChunk[]> {
  const [hash, isUnlike] =
    form === "1" ? ["asked.value", "c.sha256 IS NULL"] : ["asked.value ->> 0", "c.bytes IS NOT asked.value ->> 1"];
  const now = Date.now();
  const [, found] = await db.batch([
    touch(db, owner, chunks, hash, now),
    db
      .prepare(
        `SELECT ${hash} AS sha256, c.bytes FROM json_each(?2) asked
         LEFT JOIN bundle_chunks c ON c.owner = ?1 AND c.sha256 = ${hash} AND c.state = ${STORED} WHERE ${isUnlike} LIMIT ?3`,
      )
      .bind(owner, JSON.stringify(chunks), limit),
  ]);
  return (found?.results ?? []).map((row) => UnlikeRowSchema.parse(row));
}

/** Keeps chunks that no bundle has from being swept. */
function touch(
  db: D1Database,
  owner: string,
  chunks: readonly unknown[],
  hash: string,
  now: number,
): D1PreparedStatement {
  return db
    .prepare(
      `UPDATE bundle_chunks SET seen_at = ?3 WHERE owner = ?1 AND sha256 IN (SELECT ${hash} FROM json_each(?2) asked)
         AND refs = 0 AND state <> ${GOING} AND seen_at < ?3 - ${NOTED_MS}`,
    )
    .bind(owner, JSON.stringify(chunks), now);
}

/**
 * Reserves room for chunks that are about to be stored. Answers those that are not there yet. Throws `quota_exceeded`,
 * or `unavailable` while one of them is being deleted.
 */
export async function reserveChunks(env: Stores, owner: string, chunks: readonly SizedChunk[]): Promise<Set<string>> {
  const now = Date.now();
  const asked = JSON.stringify(chunks);
  const kind = isOfEnvironments(owner) ? "environments" : "bundles";
  const added = `(SELECT coalesce(sum(a.value ->> 1), 0) FROM json_each(?2) a
    WHERE NOT EXISTS (SELECT 1 FROM bundle_chunks WHERE owner = ?1 AND sha256 = a.value ->> 0))`;
  const [, , found] = await env.DB.batch([
    touch(env.DB, owner, chunks, "asked.value ->> 0", now),
    env.DB.prepare(
      `INSERT INTO bundle_chunks (owner, sha256, bytes, state, seen_at)
       SELECT ?1, asked.value ->> 0, asked.value ->> 1, 0, ?3 FROM json_each(?2) asked
       WHERE ${hasRoom(env, kind, "?1", added)} ON CONFLICT DO NOTHING`,
    ).bind(owner, asked, now),
    env.DB.prepare(
      `SELECT asked.value ->> 0 AS sha256, c.state FROM json_each(?2) asked
       LEFT JOIN bundle_chunks c ON c.owner = ?1 AND c.sha256 = asked.value ->> 0`,
    ).bind(owner, asked),
  ]);
  const rows = (found?.results ?? []).map((row) => StateRowSchema.parse(row));
  if (rows.some(({ state }) => state === null)) throw quotaExceeded(env, kind);
  if (rows.some(({ state }) => state === GOING))
    throw new EdgeplaneError(
      "unavailable",
      "A chunk of that content is just being deleted: send it again in a moment.",
    );
  return new Set(rows.flatMap(({ sha256, state }) => (state === STORED ? [] : [sha256])));
}

/** Notes that the content of these is stored. */
export async function noteStored(db: D1Database, owner: string, chunks: readonly SizedChunk[]): Promise<void> {
  if (chunks.length === 0) return;
  await db
    .prepare(
      `INSERT INTO bundle_chunks (owner, sha256, bytes, state, seen_at)
       SELECT ?1, asked.value ->> 0, asked.value ->> 1, ${STORED}, ?3 FROM json_each(?2) asked WHERE true
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, state = ${STORED}, seen_at = ?3`,
    )
    .bind(owner, JSON.stringify(chunks), Date.now())
    .run();
}

/** Gives back what was reserved for chunks that did not come. */
export async function dropReserved(db: D1Database, owner: string, chunks: readonly string[]): Promise<void> {
  await db
    .prepare(
      "DELETE FROM bundle_chunks WHERE owner = ?1 AND sha256 IN (SELECT value FROM json_each(?2)) AND state = 0 AND refs = 0",
    )
    .bind(owner, JSON.stringify(chunks))
    .run();
}

/** Notes that the content of a chunk is not there, whatever has it: it is missing until it is sent again. */
export async function noteLost(db: D1Database, owner: string, sha256: string): Promise<void> {
  await db
    .prepare(`UPDATE bundle_chunks SET state = 0 WHERE owner = ? AND sha256 = ? AND state = ${STORED}`)
    .bind(owner, sha256)
    .run();
}

/**
 * Counts a bundle's chunks, or no longer, under a condition in which `?1` is the owner; each statement some of them.
 */
export function countChunks(
  db: D1Database,
  owner: string,
  chunks: readonly string[],
  { by, condition, bindings }: { by: 1 | -1; condition: string; bindings: readonly (string | number)[] },
): D1PreparedStatement[] {
  return piecesOf(chunks).map((piece) =>
    db
      .prepare(
        `UPDATE bundle_chunks SET refs = refs + (${by}), seen_at = ?3
         WHERE owner = ?1 AND sha256 IN (SELECT value FROM json_each(?2)) AND ${condition}`,
      )
      .bind(owner, JSON.stringify(piece), Date.now(), ...bindings),
  );
}

/**
 * Deletes chunks that no bundle has and nobody has asked for since a day: 500 with every four calls. What is being
 * deleted is marked before, so that no push counts on it.
 */
export async function sweepChunks(
  { DB: db, BLOBS: bucket }: Pick<Env, "DB" | "BLOBS">,
  maxCalls: number,
): Promise<SweepStep> {
  const before = Date.now() - UNUSED_CHUNK_MS;
  for (let calls = 0; ; calls += SWEEP_CALLS) {
    if (calls + SWEEP_CALLS > maxCalls) return { calls, more: true };
    const { results } = await db
      .prepare(
        `UPDATE bundle_chunks SET state = ${GOING} WHERE (owner, sha256) IN
           (SELECT owner, sha256 FROM bundle_chunks WHERE refs = 0 AND seen_at <= ?1 ORDER BY seen_at LIMIT ${SWEEP_LIMIT})
         RETURNING owner, sha256`,
      )
      .bind(before)
      .all<{ owner: string; sha256: string }>();
    if (results.length === 0) return { calls: calls + 1, more: false };
    await bucket.delete(results.map(({ owner, sha256 }) => chunkKey(owner, sha256)));
    await db
      .prepare(
        `DELETE FROM bundle_chunks WHERE state = ${GOING} AND (owner, sha256) IN
           (SELECT value ->> 'owner', value ->> 'sha256' FROM json_each(?))`,
      )
      .bind(JSON.stringify(results))
      .run();
  }
}

/** As many as one statement names. */
export function piecesOf<T>(all: readonly T[]): T[][] {
  const count = Math.ceil(all.length / NAMED_IN_ONE);
  return Array.from({ length: count }, (_, index) => all.slice(index * NAMED_IN_ONE, (index + 1) * NAMED_IN_ONE));
}
