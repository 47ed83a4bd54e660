/**
 * Environments that pools have built, of each owner by themselves: the first to come is kept as it is, until nobody has
 * asked for it for long, or a chunk of it turns out to be broken.
 */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { bundleBytes, bundleVersion, canonicalJson, chunkSizes } from "../contract/bundle.ts";
import type { Bundle } from "../contract/bundle.ts";
import { LayerAboutSchema } from "../contract/environment-layer.ts";
import type { Layer, NewLayer } from "../contract/environment-layer.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { chunkKey, environmentChunksOf } from "../storage/chunks.ts";
import { log } from "../telemetry/log.ts";
import { checkChunks, readList, storeList } from "./bundle-chunks.ts";
import { countChunks, noteLost } from "./chunks.ts";
import type { QuotaVars } from "./quotas.ts";
import { askForRecount } from "./recounts.ts";
import { BEFORE_ALL } from "./sql.ts";
import type { SweepStep } from "./sweep.ts";

/** How long a layer stays that no pool asks for. */
export const UNUSED_LAYER_MS = 30 * 86_400_000;
/** A use that was noted so lately is not noted again: a row a day. */
const NOTED_MS = 86_400_000;
/** Layers may share all their bytes, so that these bound no number of them. */
const MAX_LAYERS = 1000;
const SWEEP_LIMIT = 20;
/** A chunk that was found whole is not read again for so long, whoever says that it is broken. */
const JUDGED_MS = 600_000;
const JUDGED_CHUNKS = 2000;
/** What one layer takes to be removed: its list is read, and a batch is written. */
const REMOVE_CALLS = 2;

type Stores = QuotaVars & Pick<Env, "DB" | "BLOBS">;
export type LayerName = { owner: string; key: string };

const OF_LAYER = "owner = ?1 AND key = ?2";
const foundWhole = createTtlCache<true>(JUDGED_CHUNKS);

const RowSchema = z
  .object({
    owner: z.string(),
    key: z.string(),
    list: z.string(),
    about: z.string().transform((text) => LayerAboutSchema.parse(JSON.parse(text))),
    files: z.number(),
    bytes: z.number(),
    pool_token_id: z.string(),
    nonce: z.string(),
    created_at: z.number(),
    used_at: z.number(),
  })
  .transform((row) => ({
    ...{ owner: row.owner, key: row.key, nonce: row.nonce, poolTokenId: row.pool_token_id },
    ...{ createdAt: row.created_at, usedAt: row.used_at },
    layer: { list: row.list, about: row.about, files: row.files, bytes: row.bytes } satisfies Layer,
  }));
export type StoredLayer = z.output<typeof RowSchema>;

async function readRow(db: D1Database, { owner, key }: LayerName): Promise<StoredLayer | null> {
  const row = await db.prepare(`SELECT * FROM environment_layers WHERE ${OF_LAYER}`).bind(owner, key).first();
  return row === null ? null : RowSchema.parse(row);
}

/** The layer of this name, or null. It counts as used now. */
export async function findLayer(db: D1Database, name: LayerName): Promise<Layer | null> {
  const row = await readRow(db, name);
  if (row === null) return null;
  if (row.usedAt < Date.now() - NOTED_MS)
    await db
      .prepare(`UPDATE environment_layers SET used_at = ?3 WHERE ${OF_LAYER}`)
      .bind(name.owner, name.key, Date.now())
      .run();
  return row.layer;
}

/**
 * Keeps a layer whose chunks are all here, unless there is one: that one is answered then. Throws `bundle_incomplete`,
 * `chunk_mismatch` or `quota_exceeded`.
 */
export async function storeLayer(
  env: Stores,
  name: LayerName,
  { bundle, about }: NewLayer,
  poolTokenId: string,
): Promise<{ layer: Layer; created: boolean }> {
  const before = await readRow(env.DB, name);
  if (before !== null) return { layer: before.layer, created: false };
  const list = await bundleVersion(bundle);
  const [sizes, chunksOf] = [chunkSizes(bundle), environmentChunksOf(name.owner)];
  await checkChunks(env.DB, chunksOf, [...sizes]);
  await storeList(env, chunksOf, list, new TextEncoder().encode(canonicalJson(bundle)));
  const nonce = crypto.randomUUID();
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO environment_layers (owner, key, list, about, files, bytes, pool_token_id, nonce, created_at, used_at)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9
         WHERE (SELECT count(*) FROM environment_layers WHERE owner = ?1) < ${MAX_LAYERS} ON CONFLICT DO NOTHING`,
    ).bind(
      name.owner,
      name.key,
      list,
      JSON.stringify(about),
      bundle.files.length,
      bundleBytes(bundle),
      poolTokenId,
      nonce,
      Date.now(),
    ),
    ...countChunks(env.DB, chunksOf, [list, ...sizes.keys()], {
      by: 1,
      condition: "EXISTS (SELECT 1 FROM environment_layers WHERE owner = ?4 AND key = ?5 AND nonce = ?6)",
      bindings: [name.owner, name.key, nonce],
    }),
  ]);
  const row = await readRow(env.DB, name);
  if (row === null)
    throw new EdgeplaneError("quota_exceeded", `The owner has ${MAX_LAYERS} stored environments, which is all it may.`);
  return { layer: row.layer, created: row.nonce === nonce };
}

/**
 * Whether a chunk of the layer is broken, which is seen by reading it, whoever says so. Then the layer goes, so that
 * the next pool that builds the environment stores it anew; and the chunk counts as not there, whatever else has it.
 * Its bytes stay until it is sent again or swept: to delete them could hit what was sent again meanwhile.
 */
export async function judgeLayer(env: Stores, name: LayerName, chunk: string): Promise<boolean> {
  const row = await readRow(env.DB, name);
  if (row === null) return false;
  const chunksOf = environmentChunksOf(name.owner);
  const list = await readList(env.BLOBS, environmentChunksOf(name.owner), row.layer.list);
  const isOfIt = chunk === row.layer.list || (list !== null && chunkSizes(list).has(chunk));
  const place = chunkKey(chunksOf, chunk);
  if (!isOfIt || foundWhole.get(place) === true) return false;
  if (await isIntact(env.BLOBS, place, chunk)) {
    foundWhole.set(place, true, JUDGED_MS);
    return false;
  }
  log.error("environment_chunk_is_broken", { owner: name.owner, layer: name.key, chunk });
  await removeRow(env, row, list);
  await noteLost(env.DB, chunksOf, chunk);
  return true;
}

/** Whether there was one. */
export async function removeLayer(env: Stores, name: LayerName): Promise<boolean> {
  const row = await readRow(env.DB, name);
  if (row === null) return false;
  await removeRow(env, row, await readList(env.BLOBS, environmentChunksOf(name.owner), row.layer.list));
  return true;
}

/** A page of all layers, by owner and key, behind `after`, without what they were compiled for. */
export async function listLayers(
  db: D1Database,
  { owner, after, limit }: { owner: string | null; after: LayerName | null; limit: number },
): Promise<StoredLayer[]> {
  const { results } = await db
    .prepare(
      `SELECT owner, key, list, json_remove(about, '$.compiledFor') AS about, files, bytes, pool_token_id, nonce, created_at, used_at
       FROM environment_layers WHERE (owner, key) > (?1, ?2) AND (?3 IS NULL OR owner = ?3) ORDER BY owner, key LIMIT ?4`,
    )
    .bind(after?.owner ?? owner ?? "", after?.key ?? BEFORE_ALL.id, owner, limit)
    .all();
  return results.map((row) => RowSchema.parse(row));
}

/** Takes away layers that no pool has asked for for a month; their chunks go with those that nothing has. */
export async function sweepEnvironmentLayers(env: Stores, maxCalls: number): Promise<SweepStep> {
  const { results } = await env.DB.prepare(
    `SELECT * FROM environment_layers WHERE used_at <= ? ORDER BY used_at LIMIT ${SWEEP_LIMIT}`,
  )
    .bind(Date.now() - UNUSED_LAYER_MS)
    .all();
  let calls = 1;
  for (const found of results) {
    if (calls + REMOVE_CALLS > maxCalls) return { calls, more: true };
    calls += REMOVE_CALLS;
    const row = RowSchema.parse(found);
    await removeRow(env, row, await readList(env.BLOBS, environmentChunksOf(row.owner), row.layer.list));
  }
  return { calls, more: results.length === SWEEP_LIMIT };
}

/**
 * `list` null: it is gone, and nobody knows any more which chunks the layer counts. All of the owner's are recounted.
 */
async function removeRow(
  { DB: db }: Pick<Env, "DB">,
  { owner, key, nonce, layer }: StoredLayer,
  list: Bundle | null,
): Promise<void> {
  if (list === null) log.error("environment_list_is_gone", { owner, layer: key });
  const chunks = list === null ? [] : [...chunkSizes(list).keys()];
  await db.batch([
    ...countChunks(db, environmentChunksOf(owner), [layer.list, ...chunks], {
      by: -1,
      condition: "EXISTS (SELECT 1 FROM environment_layers WHERE owner = ?4 AND key = ?5 AND nonce = ?6)",
      bindings: [owner, key, nonce],
    }),
    db.prepare(`DELETE FROM environment_layers WHERE ${OF_LAYER} AND nonce = ?3`).bind(owner, key, nonce),
    ...(list === null ? [askForRecount(db, environmentChunksOf(owner))] : []),
  ]);
}

/** Reads all of it; no byte of it stays in memory. */
async function isIntact(bucket: R2Bucket, key: string, sha256: string): Promise<boolean> {
  const object = await bucket.get(key);
  if (object === null) return false;
  const digest = new crypto.DigestStream("SHA-256");
  await object.body.pipeTo(digest);
  const found = Array.from(new Uint8Array(await digest.digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return found === sha256;
}
