/**
 * Content that nobody noted: what was about to note it died in between. Each step looks at some objects of the bucket,
 * in the order of their keys, and goes on there the next time; what is younger than an hour may still be noted. (A
 * multipart upload that nobody noted is ended by R2 itself, after 7 days.)
 */
import { numericVar } from "../contract/numeric-vars.ts";
import { isPredictionId, shardName, shardOf } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { callObject } from "../object-calls.ts";
import { FILES_PREFIX, contentKey, knownFileIds } from "../registry/files.ts";
import { readSweepPlace, saveSweepPlace } from "../registry/sweep-places.ts";
import type { SweepStep } from "../registry/sweep.ts";
import { ORPHANED_AFTER_MS, predictionOf } from "../storage/blobs.ts";
import { keysUnderWay } from "../storage/upload-rows.ts";
import { log } from "../telemetry/log.ts";
import { remoteShard } from "./remote.ts";

const PLACE = "orphans";
/** Objects that one step looks at, at most. */
const PAGE = 500;
/** What a step needs beside a call of a shard for each object, and two of the bucket for each orphan. */
const STEP_CALLS = 5;
const ORPHAN_CALLS = 2;

/** One step of the Worker's schedule: looks at as many objects as its calls allow. */
export async function sweepOrphans(env: Env, maxCalls: number): Promise<SweepStep> {
  const limit = Math.min(PAGE, maxCalls - STEP_CALLS);
  if (limit < 1) return { calls: 0, more: true };
  const startAfter = await readSweepPlace(env.DB, PLACE);
  const { objects, truncated } = await env.BLOBS.list({ startAfter, limit });
  const old = objects.filter(isOld).map(({ key }) => key);
  const blobs = await orphanedBlobs(env, old);
  const orphans = [...(await orphanedFiles(env, old)), ...blobs.orphans].toSorted();
  let calls = STEP_CALLS + blobs.calls;
  let place = truncated ? (objects.at(-1)?.key ?? "") : "";
  for (const [index, key] of orphans.entries()) {
    if (index > 0 && calls + ORPHAN_CALLS > maxCalls) {
      place = orphans[index - 1] ?? place;
      break;
    }
    // A client's own key may have brought the same input again since.
    const there = await env.BLOBS.head(key);
    if (there !== null && isOld(there)) await env.BLOBS.delete(key);
    calls += ORPHAN_CALLS;
  }
  if (orphans.length > 0) log.info("orphans_swept", { objects: orphans.length });
  await saveSweepPlace(env.DB, PLACE, place);
  return { calls, more: place !== "" };
}

function isOld({ uploaded }: R2Object): boolean {
  return uploaded.getTime() <= Date.now() - ORPHANED_AFTER_MS;
}

/**
 * Contents of files without a row. Those of uploads that are not completed yet have one of theirs, until they have
 * become files.
 */
async function orphanedFiles({ DB }: Env, keys: readonly string[]): Promise<string[]> {
  const ids = keys.filter((key) => key.startsWith(FILES_PREFIX)).map((key) => key.slice(FILES_PREFIX.length));
  if (ids.length === 0) return [];
  // In this order: asked for the other way round, one that becomes a file in between would be in neither.
  const underWay = await keysUnderWay(DB, ids.map(contentKey));
  const known = await knownFileIds(DB, ids);
  return ids
    .filter((id) => !known.has(id))
    .map(contentKey)
    .filter((key) => !underWay.has(key));
}

/** Blobs of predictions that their shard doesn't know, and how many shards were asked. */
async function orphanedBlobs(env: Env, keys: readonly string[]): Promise<{ orphans: string[]; calls: number }> {
  const byId = Map.groupBy(keys, predictionOf);
  const shards = numericVar(env, "SHARD_COUNT");
  const ids = [...byId.keys()].filter((id) => id !== null && isPredictionId(id, shards));
  const byShard = Map.groupBy(ids as string[], (id) => shardName(shardOf(id)));
  const orphans: string[] = [];
  for (const [shard, some] of byShard) {
    const known = new Set(await callObject(() => remoteShard(env, shard).known(some)));
    for (const id of some) if (!known.has(id)) orphans.push(...(byId.get(id) ?? []));
  }
  return { orphans, calls: byShard.size };
}
