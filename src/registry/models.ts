/**
 * Models and their versions, as pools offered them (`registration.ts`) or accounts made them. A private model is there
 * for its owner alone: whoever looks on an account's behalf says as whom.
 */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { modelPath } from "../contract/manifest.ts";
import {
  cacheBudget,
  CACHED_MODELS,
  cacheMs,
  isVisible,
  ManifestColumnSchema,
  mayBeModel,
  VERSION,
  visibilities,
} from "./known-models.ts";
import type { ModelName, Version, Viewer } from "./known-models.ts";
import { ConfigurationColumnSchema } from "./configuration-column.ts";
import { withConfiguration } from "./model-configurations.ts";
import { forgetPointers } from "./pointers.ts";
import { BUNDLE_COLUMN, BundleColumnSchema } from "./version-state.ts";

export { visibilities } from "./known-models.ts";
export type { Version, Viewer } from "./known-models.ts";

/** Models that share a version, of which the viewer's is looked for. */
const MAX_NAMESAKES = 100;
/** As many as a pool may serve. */
const MAX_LANES = 64;

const VersionRowSchema = z
  .object({ manifest: ManifestColumnSchema, created_at: z.number(), bundle: BundleColumnSchema })
  .transform(({ manifest, created_at: createdAt, bundle }): Version => ({ manifest, createdAt, bundle }));

/** A version with what decides who may know of it. `isOrphan`: its model was deleted. */
const KnownVersionRowSchema = z
  .object({
    owner: z.string(),
    manifest: ManifestColumnSchema,
    created_at: z.number(),
    visibility: z.enum(visibilities),
    configuration: ConfigurationColumnSchema,
    bundle: BundleColumnSchema,
    model_deleted_at: z.number().nullable(),
  })
  .transform((row) => ({
    owner: row.owner,
    manifest: withConfiguration(row.manifest, row.configuration),
    createdAt: row.created_at,
    bundle: row.bundle,
    visibility: row.visibility,
    isOrphan: row.model_deleted_at !== null,
  }));
type KnownVersion = z.output<typeof KnownVersionRowSchema>;

const ModelRowSchema = z
  .object({
    owner: z.string(),
    name: z.string(),
    description: z.string(),
    visibility: z.enum(visibilities),
    hardware: z.string().nullable(),
    github_url: z.string().nullable(),
    paper_url: z.string().nullable(),
    license_url: z.string().nullable(),
    weights_url: z.string().nullable(),
    cover_image_url: z.string().nullable(),
    created_at: z.number(),
    run_count: z.number(),
    configuration: ConfigurationColumnSchema,
    manifest: ManifestColumnSchema.nullable(),
    bundle: BundleColumnSchema,
    version_created_at: z.number().nullable(),
  })
  .transform((row) => ({
    owner: row.owner,
    name: row.name,
    description: row.description,
    visibility: row.visibility,
    hardware: row.hardware,
    githubUrl: row.github_url,
    paperUrl: row.paper_url,
    licenseUrl: row.license_url,
    weightsUrl: row.weights_url,
    coverImageUrl: row.cover_image_url,
    createdAt: row.created_at,
    runCount: row.run_count,
    configuration: row.configuration,
    latest:
      row.manifest === null
        ? null
        : { manifest: row.manifest, createdAt: row.version_created_at ?? 0, bundle: row.bundle },
  }));
export type Model = z.output<typeof ModelRowSchema>;

const LATEST_VERSION = "LEFT JOIN versions v ON v.owner = m.owner AND v.name = m.name AND v.id = m.latest_version";

/** A version may say a million characters of itself, and a page of 25 has to fit into memory many times. */
const MAX_LISTED_CHARS = 65_536;
/** The manifest as lists have it: without its schema where it is large. */
function listed(column: string): string {
  return `CASE WHEN length(${column}) > ${MAX_LISTED_CHARS} THEN json_set(${column}, '$.schema', NULL) ELSE ${column} END`;
}

function selectModel(manifest: string): string {
  return `SELECT m.owner, m.name, m.description, m.visibility, m.hardware, m.github_url, m.paper_url, m.license_url,
    m.weights_url, m.cover_image_url, m.created_at, m.run_count, m.configuration, ${manifest} AS manifest, v.created_at AS version_created_at,
    ${BUNDLE_COLUMN}
  FROM models m ${LATEST_VERSION}`;
}

const versions = createTtlCache<KnownVersion[]>(CACHED_MODELS, cacheBudget);

/** A model with its latest version; null when there is none that the viewer may know of. */
export async function findModel(db: D1Database, viewer: Viewer, model: ModelName): Promise<Model | null> {
  if (!mayBeModel(model)) return null;
  const query = `${selectModel("v.manifest")} WHERE m.owner = ?1 AND m.name = ?2 AND m.deleted_at IS NULL
    AND (m.visibility = 'public' OR m.owner = ?3)`;
  const row = await db.prepare(query).bind(model.owner, model.name, viewer.accountName).first();
  return row === null ? null : ModelRowSchema.parse(row);
}

/**
 * A version by its SHA-256, of the named model or (`model` null) of one that has it: the viewer's own, or else the one
 * that had it first of those that the viewer may know of. A later push of the same files takes nobody's calls.
 * Null when there is none. `viewer` null: a pool, which may know of every model on its lanes.
 */
export async function findVersion(
  db: D1Database,
  viewer: Viewer | null,
  model: ModelName | null,
  id: string,
): Promise<Version | null> {
  const found = await readVersions(db, model, id);
  if (viewer === null) return found[0] ?? null;
  const visible = found.filter((version) => !version.isOrphan && isVisible(version, viewer));
  return visible.find(({ owner }) => owner === viewer.accountName) ?? visible[0] ?? null;
}

/** The version of the named model, or those of all models that have it, the oldest first. */
async function readVersions(db: D1Database, model: ModelName | null, id: string): Promise<KnownVersion[]> {
  const key = versionKey(model, id);
  const known = versions.get(key);
  if (known !== undefined) return known;
  if (!VERSION.test(id) || (model !== null && !mayBeModel(model))) return [];
  const query = `SELECT v.owner, v.manifest, v.created_at, m.visibility, m.configuration, m.deleted_at AS model_deleted_at,
      ${BUNDLE_COLUMN}
    FROM versions v JOIN models m ON m.owner = v.owner AND m.name = v.name WHERE v.id = ? AND v.deleted_at IS NULL`;
  const statement =
    model === null
      ? db.prepare(`${query} ORDER BY v.created_at, v.owner, v.name LIMIT ${MAX_NAMESAKES}`).bind(id)
      : db.prepare(`${query} AND v.owner = ? AND v.name = ?`).bind(id, model.owner, model.name);
  const { results } = await statement.all();
  const found = results.map((row) => KnownVersionRowSchema.parse(row));
  versions.set(key, found, cacheMs(found));
  return found;
}

/** Forgets what this isolate remembers of a model, and of the version `id`; others forget within 10 s. */
export function forgetModel(model: ModelName, id?: string): void {
  forgetPointers(model);
  if (id === undefined) return;
  versions.delete(versionKey(model, id));
  versions.delete(versionKey(null, id));
}

function versionKey(model: ModelName | null, id: string): string {
  return model === null ? id : `${modelPath(model)}:${id}`;
}

export const modelKeys = ["model_created_at", "latest_version_created_at"] as const;
/** What a list of models is sorted by. */
type ModelOrder = { key: (typeof modelKeys)[number]; direction: "asc" | "desc" };

/** Where a model stands in a list, in milliseconds since the epoch; one without a version by its own time. */
export function placeOfModel(model: Model, { key }: ModelOrder): number {
  return key === "model_created_at" ? model.createdAt : (model.latest?.createdAt ?? model.createdAt);
}

/**
 * A page of the models that the viewer may know of, behind the place `after`; with `query`, those whose name or
 * description contains it. What says more than 64 Ki characters of itself comes without its schema.
 */
export async function listModels(
  db: D1Database,
  viewer: Viewer,
  page: { after: { createdAt: number; id: string } | null; limit: number; query: string; order: ModelOrder },
): Promise<Model[]> {
  const { key, direction } = page.order;
  const place = key === "model_created_at" ? "m.created_at" : "coalesce(v.created_at, m.created_at)";
  const [behind, first] = direction === "asc" ? [">", -1] : ["<", Number.MAX_SAFE_INTEGER];
  const after = page.after ?? { createdAt: first, id: "" };
  // Not LIKE: SQLite refuses patterns of more than 50 bytes there.
  const { results } = await db
    .prepare(
      `${selectModel(listed("v.manifest"))} WHERE (${place}, m.owner || '/' || m.name) ${behind} (?1, ?2)
       AND (instr(lower(m.owner || '/' || m.name), lower(?3)) > 0 OR instr(lower(m.description), lower(?3)) > 0)
       AND m.deleted_at IS NULL AND (m.visibility = 'public' OR m.owner = ?5)
       ORDER BY ${place} ${direction}, m.owner || '/' || m.name ${direction} LIMIT ?4`,
    )
    .bind(after.createdAt, after.id, page.query, page.limit, viewer.accountName)
    .all();
  return results.map((row) => ModelRowSchema.parse(row));
}

/**
 * Models whose latest version waits in `lane`, as `owner/name`: `limit` of them at most. It goes through all models:
 * for publishing, not for requests.
 */
export async function modelsOnLane(db: D1Database, lane: string, limit: number): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT m.owner || '/' || m.name AS model FROM models m ${LATEST_VERSION}
       WHERE m.deleted_at IS NULL AND v.manifest ->> 'lane' = ? ORDER BY m.owner, m.name LIMIT ?`,
    )
    .bind(lane, limit)
    .all<{ model: string }>();
  return results.map(({ model }) => model);
}

/** The lanes that versions of a model wait in. */
export async function lanesOf(db: D1Database, { owner, name }: ModelName): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT DISTINCT manifest ->> 'lane' AS lane FROM versions WHERE owner = ? AND name = ? AND deleted_at IS NULL
       LIMIT ${MAX_LANES}`,
    )
    .bind(owner, name)
    .all<{ lane: string | null }>();
  return results.flatMap(({ lane }) => lane ?? []);
}

/** A page of a model's versions, newest first, behind the version `after`; large ones without their schema. */
export async function listVersions(
  db: D1Database,
  model: { owner: string; name: string },
  page: { after: { createdAt: number; id: string } | null; limit: number },
): Promise<Version[]> {
  const after = page.after ?? { createdAt: Number.MAX_SAFE_INTEGER, id: "" };
  const { results } = await db
    .prepare(
      `SELECT ${listed("v.manifest")} AS manifest, created_at, ${BUNDLE_COLUMN} FROM versions v
       WHERE owner = ? AND name = ? AND deleted_at IS NULL AND (created_at, id) < (?, ?)
       ORDER BY created_at DESC, id DESC LIMIT ?`,
    )
    .bind(model.owner, model.name, after.createdAt, after.id, page.limit)
    .all();
  return results.map((row) => VersionRowSchema.parse(row));
}
