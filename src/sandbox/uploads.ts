/** Uploaded versions of plugins: a row each in the database, and the module in the bucket under its hash. */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { hashOf, ManifestSchema, PluginHashSchema } from "./manifest.ts";
import type { Manifest, Upload } from "./manifest.ts";

type Stores = Pick<Env, "DB" | "BLOBS">;

const MAX_VERSIONS = 1000;

const RowSchema = z
  .object({ hash: PluginHashSchema, name: z.string(), manifest: z.string(), bytes: z.number(), created_at: z.number() })
  .transform(({ hash, name, manifest, bytes, created_at: createdAt }) => ({
    hash,
    name,
    manifest: ManifestSchema.parse(JSON.parse(manifest)),
    bytes,
    createdAt,
  }));
export type UploadRow = z.output<typeof RowSchema>;

/** Versions never change, so an isolate keeps the modules that it read; few plugins are on at once. */
const MAX_KEPT = 16;
const kept = new Map<string, Upload>();

/**
 * Stores a version; one that is there already is answered as it is. Throws `quota_exceeded` when there are 1,000
 * versions.
 */
export async function storeUpload(
  { DB, BLOBS }: Stores,
  manifest: Manifest,
  code: string,
): Promise<{ row: UploadRow; isNew: boolean }> {
  const hash = await hashOf(manifest, code);
  const there = await findUpload(DB, hash);
  if (there !== null) return { row: there, isNew: false };
  await BLOBS.put(keyOf(hash), code, { httpMetadata: { contentType: "text/javascript; charset=utf-8" } });
  const bytes = new TextEncoder().encode(code).length;
  const row: UploadRow = { hash, name: manifest.name, manifest, bytes, createdAt: Date.now() };
  const { meta } = await DB.prepare(
    `INSERT INTO plugin_uploads (hash, name, manifest, bytes, created_at) SELECT ?, ?, ?, ?, ?
     WHERE (SELECT count(*) FROM plugin_uploads) < ${MAX_VERSIONS} ON CONFLICT DO NOTHING`,
  )
    .bind(hash, row.name, JSON.stringify(manifest), bytes, row.createdAt)
    .run();
  if (meta.changes > 0) return { row, isNew: true };
  const other = await findUpload(DB, hash);
  if (other !== null) return { row: other, isNew: false };
  throw new EdgeplaneError("quota_exceeded", `There may be ${MAX_VERSIONS} versions of plugins; remove some first.`);
}

export async function findUpload(db: D1Database, hash: string): Promise<UploadRow | null> {
  const row = await db.prepare("SELECT * FROM plugin_uploads WHERE hash = ?").bind(hash).first();
  return row === null ? null : RowSchema.parse(row);
}

/** The versions of one plugin or of all, the newest first, 1,000 at most. */
export async function listUploads(db: D1Database, name?: string): Promise<UploadRow[]> {
  const query =
    name === undefined
      ? db.prepare("SELECT * FROM plugin_uploads ORDER BY created_at DESC, hash LIMIT 1000")
      : db.prepare("SELECT * FROM plugin_uploads WHERE name = ? ORDER BY created_at DESC, hash LIMIT 1000").bind(name);
  const { results } = await query.all();
  return results.map((row) => RowSchema.parse(row));
}

/** The version with its module. Throws `plugin_missing` when it was removed or never there. */
export async function readUpload({ DB, BLOBS }: Stores, hash: string): Promise<Upload> {
  const known = kept.get(hash);
  if (known !== undefined) return known;
  const row = await findUpload(DB, hash);
  const module = row === null ? null : await BLOBS.get(keyOf(hash));
  if (row === null || module === null)
    throw new EdgeplaneError("plugin_missing", `There is no uploaded plugin ${hash}.`);
  const upload: Upload = { hash, manifest: row.manifest, code: await module.text() };
  const [oldest] = kept.keys();
  if (kept.size >= MAX_KEPT && oldest !== undefined) kept.delete(oldest);
  kept.set(hash, upload);
  return upload;
}

/** Removes a version; false when there was none. */
export async function removeUpload({ DB, BLOBS }: Stores, hash: string): Promise<boolean> {
  const { meta } = await DB.prepare("DELETE FROM plugin_uploads WHERE hash = ?").bind(hash).run();
  await BLOBS.delete(keyOf(hash));
  kept.delete(hash);
  return meta.changes > 0;
}

function keyOf(hash: string): string {
  return `plugins/${hash}.js`;
}
