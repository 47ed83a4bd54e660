/** Models and their versions, as pools offered them. A version is immutable but for its schema, which comes when it first loaded. */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { ManifestSchema } from "../contract/manifest.ts";
import type { Manifest } from "../contract/manifest.ts";
import type { Env } from "../env.ts";

const CACHE_MS = 10_000;
const UNKNOWN_CACHE_MS = 1000;
const CACHED_MODELS = 2000;

export type Version = { manifest: Manifest; createdAt: number };
export type Model = { owner: string; name: string; description: string; createdAt: number; latest: Version | null };

const ManifestColumnSchema = z.string().transform((text) => ManifestSchema.parse(JSON.parse(text)));

const VersionRowSchema = z
  .object({ manifest: ManifestColumnSchema, created_at: z.number() })
  .transform((row): Version => ({ manifest: row.manifest, createdAt: row.created_at }));

const ModelRowSchema = z
  .object({
    owner: z.string(),
    name: z.string(),
    description: z.string(),
    created_at: z.number(),
    manifest: ManifestColumnSchema.nullable(),
    version_created_at: z.number().nullable(),
  })
  .transform((row): Model => ({
    owner: row.owner,
    name: row.name,
    description: row.description,
    createdAt: row.created_at,
    latest: row.manifest === null ? null : { manifest: row.manifest, createdAt: row.version_created_at ?? 0 },
  }));

const SELECT_MODEL = `SELECT m.owner, m.name, m.description, m.created_at, v.manifest, v.created_at AS version_created_at
  FROM models m LEFT JOIN versions v ON v.owner = m.owner AND v.name = m.name AND v.id = m.latest_version`;

const models = createTtlCache<Model | null>(CACHED_MODELS);
const versions = createTtlCache<Version | null>(CACHED_MODELS);
const registered = createTtlCache<true>(CACHED_MODELS);

/** A model with its latest version; null when nobody offered it. Remembered for at most 10 s in the isolate. */
export async function findModel(db: D1Database, owner: string, name: string): Promise<Model | null> {
  const key = `${owner}/${name}`;
  const known = models.get(key);
  if (known !== undefined) return known;
  const row = await db.prepare(`${SELECT_MODEL} WHERE m.owner = ? AND m.name = ?`).bind(owner, name).first();
  const model = row === null ? null : ModelRowSchema.parse(row);
  models.set(key, model, model === null ? UNKNOWN_CACHE_MS : CACHE_MS);
  return model;
}

/** A version by its SHA-256, of the named model or (`model` null) of whichever has it; null when there is none. */
export async function findVersion(
  db: D1Database,
  model: { owner: string; name: string } | null,
  id: string,
): Promise<Version | null> {
  const key = model === null ? id : `${model.owner}/${model.name}:${id}`;
  const known = versions.get(key);
  if (known !== undefined) return known;
  const statement =
    model === null
      ? db.prepare("SELECT manifest, created_at FROM versions WHERE id = ? ORDER BY created_at DESC LIMIT 1").bind(id)
      : db
          .prepare("SELECT manifest, created_at FROM versions WHERE id = ? AND owner = ? AND name = ?")
          .bind(id, model.owner, model.name);
  const row = await statement.first();
  const version = row === null ? null : VersionRowSchema.parse(row);
  versions.set(key, version, version === null ? UNKNOWN_CACHE_MS : CACHE_MS);
  return version;
}

/** A page of models, newest first, behind the model `after`; with `query`, those whose name or description contains it. */
export async function listModels(
  db: D1Database,
  page: { after: { createdAt: number; id: string } | null; limit: number; query?: string },
): Promise<Model[]> {
  const after = page.after ?? { createdAt: Number.MAX_SAFE_INTEGER, id: "" };
  const pattern = `%${(page.query ?? "").replace(/[\\%_]/g, "\\$&")}%`;
  const { results } = await db
    .prepare(
      `${SELECT_MODEL} WHERE (m.created_at, m.owner || '/' || m.name) < (?1, ?2)
       AND (m.owner || '/' || m.name LIKE ?3 ESCAPE '\\' OR m.description LIKE ?3 ESCAPE '\\')
       ORDER BY m.created_at DESC, m.owner || '/' || m.name DESC LIMIT ?4`,
    )
    .bind(after.createdAt, after.id, pattern, page.limit)
    .all();
  return results.map((row) => ModelRowSchema.parse(row));
}

/** A page of a model's versions, newest first, behind the version `after`. */
export async function listVersions(
  db: D1Database,
  model: { owner: string; name: string },
  page: { after: { createdAt: number; id: string } | null; limit: number },
): Promise<Version[]> {
  const after = page.after ?? { createdAt: Number.MAX_SAFE_INTEGER, id: "" };
  const { results } = await db
    .prepare(
      `SELECT manifest, created_at FROM versions WHERE owner = ? AND name = ? AND (created_at, id) < (?, ?)
       ORDER BY created_at DESC, id DESC LIMIT ?`,
    )
    .bind(model.owner, model.name, after.createdAt, after.id, page.limit)
    .all();
  return results.map((row) => VersionRowSchema.parse(row));
}

/**
 * Records the models that a pool offers: each version once, its schema when it becomes known. A version seen for the
 * first time becomes its model's latest. Costs nothing when this isolate has recorded the same manifests before.
 */
export async function registerManifests(env: Pick<Env, "DB">, manifests: readonly Manifest[]): Promise<void> {
  const fresh = manifests.filter((manifest) => registered.get(registrationKey(manifest)) === undefined);
  if (fresh.length === 0) return;
  const now = Date.now();
  await env.DB.batch(fresh.flatMap((manifest) => registration(env.DB, manifest, now)));
  for (const manifest of fresh) {
    registered.set(registrationKey(manifest), true, CACHE_MS);
    models.delete(`${manifest.owner}/${manifest.name}`);
    versions.delete(`${manifest.owner}/${manifest.name}:${manifest.version}`);
    versions.delete(manifest.version);
  }
}

function registration(db: D1Database, manifest: Manifest, now: number): D1PreparedStatement[] {
  const { owner, name, version } = manifest;
  return [
    db
      .prepare(
        `INSERT INTO models (owner, name, description, latest_version, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
         ON CONFLICT DO UPDATE SET latest_version = ?4, updated_at = ?5,
           description = CASE ?3 WHEN '' THEN description ELSE ?3 END
         WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.owner = ?1 AND v.name = ?2 AND v.id = ?4)`,
      )
      .bind(owner, name, manifest.description, version, now),
    db
      .prepare(
        `INSERT INTO versions (owner, name, id, manifest, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET manifest = ?4 WHERE manifest <> ?4
           AND (json_extract(?4, '$.schema') IS NOT NULL OR json_extract(manifest, '$.schema') IS NULL)`,
      )
      .bind(owner, name, version, JSON.stringify(manifest), now),
  ];
}

/** What tells one registration from another; the schema of a version never changes once it is there. */
function registrationKey(manifest: Manifest): string {
  return JSON.stringify({ ...manifest, schema: manifest.schema !== null });
}
