/**
 * Counts an owner's chunks anew, where the list of something that was removed is gone: without it nobody knows which
 * chunks that had counted, and their bytes would be the owner's for ever. Lists are read a few at a time; what they say
 * is noted, and becomes the counts at once, unless something came or went meanwhile that was not seen.
 */
import * as z from "zod";
import { chunkSizes } from "../contract/bundle.ts";
import type { Env } from "../env.ts";
import { isOfEnvironments, ownerOfChunks } from "../storage/chunks.ts";
import { log } from "../telemetry/log.ts";
import { readList } from "./bundle-chunks.ts";
import { piecesOf } from "./chunks.ts";
import type { SweepStep } from "./sweep.ts";

/** What a list takes: it is read, and a batch is written; and what the rest of a step takes. */
const LIST_CALLS = 2;
const OTHER_CALLS = 3;

const ListRowSchema = z.object({ list: z.string(), nonce: z.string() });

/** Has the owner's chunks counted anew by the next sweeps. */
export function askForRecount(db: D1Database, chunksOf: string): D1PreparedStatement {
  return db.prepare("INSERT OR IGNORE INTO chunk_recounts VALUES (?)").bind(chunksOf);
}

/** The rows that count chunks of an owner (`?2`), with the nonces by which they are known. */
function rowsOf(chunksOf: string): string {
  return isOfEnvironments(chunksOf)
    ? "(SELECT list, nonce FROM environment_layers WHERE owner = ?2)"
    : "(SELECT version AS list, nonce FROM bundles WHERE owner = ?2)";
}

/**
 * Some lists of one owner, any of those that wait. A list that can't be read holds up the count of its owner, and of
 * nobody else, until what it is of is removed, too.
 */
export async function sweepRecounts({ DB: db, BLOBS: bucket }: Pick<Env, "DB" | "BLOBS">, maxCalls: number) {
  const chunksOf = await db
    .prepare("SELECT owner FROM chunk_recounts ORDER BY random() LIMIT 1")
    .first<string>("owner");
  if (chunksOf === null) return { calls: 1, more: false } satisfies SweepStep;
  const limit = Math.floor((maxCalls - OTHER_CALLS) / LIST_CALLS);
  if (limit < 1) return { calls: 1, more: true } satisfies SweepStep;
  const { results } = await db
    .prepare(
      `SELECT list, nonce FROM ${rowsOf(chunksOf)}
       WHERE nonce NOT IN (SELECT nonce FROM recounted_lists WHERE owner = ?1) LIMIT ?3`,
    )
    .bind(chunksOf, ownerOfChunks(chunksOf), limit)
    .all();
  let calls = 2;
  for (const found of results) {
    const { list, nonce } = ListRowSchema.parse(found);
    const bundle = await readList(bucket, chunksOf, list);
    calls += LIST_CALLS;
    if (bundle === null) {
      log.error("chunks_cannot_be_recounted", { owner: chunksOf, list });
      return { calls, more: false } satisfies SweepStep;
    }
    await db.batch(noteList(db, chunksOf, nonce, [list, ...chunkSizes(bundle).keys()]));
  }
  if (results.length === limit) return { calls, more: true } satisfies SweepStep;
  return { calls: calls + 1, more: !(await finish(db, chunksOf)) } satisfies SweepStep;
}

function noteList(db: D1Database, owner: string, nonce: string, chunks: readonly string[]): D1PreparedStatement[] {
  return [
    ...piecesOf(chunks).map((piece) =>
      db
        .prepare(
          `INSERT INTO recounted_chunks SELECT ?1, value, 1 FROM json_each(?2) WHERE true
           ON CONFLICT DO UPDATE SET refs = refs + 1`,
        )
        .bind(owner, JSON.stringify(piece)),
    ),
    db.prepare("INSERT INTO recounted_lists VALUES (?, ?)").bind(owner, nonce),
  ];
}

/** Whether the counts are right now. Where something was removed that had been seen, all lists are read again. */
async function finish(db: D1Database, chunksOf: string): Promise<boolean> {
  const rows = rowsOf(chunksOf);
  const seen = "(SELECT nonce FROM recounted_lists WHERE owner = ?1)";
  const isGone = `EXISTS (SELECT 1 FROM recounted_lists WHERE owner = ?1 AND nonce NOT IN (SELECT nonce FROM ${rows}))`;
  const isWhole = `NOT ${isGone} AND NOT EXISTS (SELECT 1 FROM ${rows} WHERE nonce NOT IN ${seen})`;
  const counted =
    "coalesce((SELECT r.refs FROM recounted_chunks r WHERE r.owner = ?1 AND r.sha256 = bundle_chunks.sha256), 0)";
  const over = `(${isGone} OR NOT EXISTS (SELECT 1 FROM chunk_recounts WHERE owner = ?1))`;
  const bound = (query: string, ...more: number[]) =>
    db.prepare(query).bind(chunksOf, ownerOfChunks(chunksOf), ...more);
  const [, ended] = await db.batch([
    bound(
      `UPDATE bundle_chunks SET refs = ${counted}, seen_at = ?3 WHERE owner = ?1 AND refs <> ${counted} AND ${isWhole}`,
      Date.now(),
    ),
    bound(`DELETE FROM chunk_recounts WHERE owner = ?1 AND ${isWhole}`),
    // Whatever is seen again counts from nothing.
    bound(`DELETE FROM recounted_chunks WHERE owner = ?1 AND ${over}`),
    bound(`DELETE FROM recounted_lists WHERE owner = ?1 AND ${over}`),
  ]);
  return (ended?.meta.changes ?? 0) > 0;
}
