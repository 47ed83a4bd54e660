/**
 * What pools put into the registry: models, their versions and schemas. A pool's token names the owners whose models it
 * may register, and the lanes that it serves; what is not of these it can neither make nor change. A version is
 * immutable but for what is known only once it has loaded: its schema, and whether it streams.
 */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import type { ModelRefusal, PoolMessage } from "../contract/channel.ts";
import { modelPath } from "../contract/manifest.ts";
import type { Manifest } from "../contract/manifest.ts";
import type { Env } from "../env.ts";
import type { PoolIdentity } from "../fleet/types.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { promotions } from "./latest.ts";
import { forgetModel } from "./models.ts";
import { hasRoom, quotaText } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import { isDatabaseFull } from "./sql.ts";

const CACHE_MS = 10_000;
const CACHED_MANIFESTS = 2000;
const MAX_MANIFEST_CHARS = 1024 * 1024;

/** Manifests that one call writes: two statements each, of the 1,000 that the platform allows an invocation. */
const MAX_WRITTEN = 450;
/** Of a session that was stored before tokens had owners. */
const DEFAULT_OWNERS = ["local"];

/** What a token says of registering. */
export type Registrar = Pick<PoolIdentity, "lanes"> &
  Partial<Pick<PoolIdentity, "owners">> & {
    /** What its pool says that isolates models. */
    isolation?: Hello["isolation"];
  };
type Hello = Extract<PoolMessage, { type: "hello" }>;

const StoredSchema = z.object({
  owner: z.string(),
  name: z.string(),
  id: z.string(),
  lane: z.string().nullable(),
  has_schema: z.number(),
  /** Null: it was registered before versions said so. */
  min_instances: z.number().nullable(),
  deleted_at: z.number().nullable(),
});
type Stored = z.output<typeof StoredSchema>;

/** Its keys are manifests without their schemas. */
const registered = createTtlCache<true>(CACHED_MANIFESTS, { maxBytes: 2 * 1024 * 1024, bytesOf: () => 0 });

/**
 * Records the models that a pool offers: each version once, its schema when it becomes known. A version seen for the
 * first time becomes its model's latest, and one that was pushed when its schema comes; one that was deleted stays so.
 * Answers those that it doesn't take, with the reason; the others are recorded. Costs nothing when this isolate has
 * recorded the same manifests before. A full database is a reason too: the pool runs what is registered already.
 */
export async function registerManifests(
  env: QuotaVars & Pick<Env, "DB" | "TRUSTED_OWNERS">,
  registrar: Registrar,
  manifests: readonly Manifest[],
): Promise<ModelRefusal[]> {
  const judged = manifests.map((manifest) => ({ manifest, reason: outsideOf(env, registrar, manifest) }));
  const outside = judged.flatMap(({ manifest, reason }) => (reason === null ? [] : [refusal(manifest, reason)]));
  const fresh = judged.flatMap(({ manifest, reason }) =>
    reason === null && registered.get(registrationKey(manifest)) === undefined ? [manifest] : [],
  );
  if (fresh.length === 0) return outside;
  let stored: Map<string, Stored>;
  try {
    stored = await store(env, fresh);
  } catch (thrown) {
    if (!isDatabaseFull(thrown)) throw thrown;
    log.error("models_not_recorded", { models: fresh.length, reason: reasonOf(thrown) });
    return [...outside, ...fresh.map((manifest) => refusal(manifest, "the registry's database is full"))];
  }
  const unlike = fresh.flatMap((manifest) => {
    forgetModel(manifest, manifest.version);
    const reason = unlikeStored(env, manifest, stored.get(keyOf(manifest)));
    if (reason !== null) return [refusal(manifest, reason)];
    registered.set(registrationKey(manifest), true, CACHE_MS);
    return [];
  });
  return [...outside, ...unlike];
}

/** Why the token may not register this; null when it may. */
function outsideOf(
  env: Pick<Env, "TRUSTED_OWNERS">,
  { owners = DEFAULT_OWNERS, lanes, isolation }: Registrar,
  manifest: Manifest,
): string | null {
  const { owner, lane } = manifest;
  if (JSON.stringify(manifest).length > MAX_MANIFEST_CHARS)
    return `what it says of itself, its schema above all, has more than ${MAX_MANIFEST_CHARS} characters`;
  if (!owners.includes(owner)) return `the pool token may not register models of the owner "${owner}"`;
  if (isolation === "none" && !trustedOwners(env).includes(owner))
    return `models of the owner "${owner}" run only on pools that isolate them, and this one doesn't (its log says why)`;
  return lanes.includes(lane) ? null : `the pool token has no right to the lane "${lane}"`;
}

/** Whose models may run where nothing keeps them from the pool's secrets. */
export function trustedOwners({ TRUSTED_OWNERS }: Pick<Env, "TRUSTED_OWNERS">): string[] {
  return TRUSTED_OWNERS === undefined ? DEFAULT_OWNERS : TRUSTED_OWNERS.split(",").map((owner) => owner.trim());
}

/** Why a version is not what the pool offers; null when it is. */
function unlikeStored(vars: QuotaVars, { lane, schema }: Manifest, stored: Stored | undefined): string | null {
  if (stored === undefined)
    return `it found no room. ${quotaText(vars, "models")} Or: ${quotaText(vars, "versions")} Or more than ${MAX_WRITTEN} models were new at once: the next connection takes them.`;
  if (stored.deleted_at !== null) return "its owner deleted this version; change a file of the model to make another";
  if (stored.lane === lane) return schema !== null && stored.has_schema === 0 ? quotaText(vars, "versions") : null;
  return `this version is registered on the lane "${stored.lane}", and a version is immutable: change a file of the model to make another`;
}

/** Reads what is there, writes the manifests that add something to it, and reads what is there then. */
async function store(env: QuotaVars & Pick<Env, "DB">, manifests: readonly Manifest[]): Promise<Map<string, Stored>> {
  const read = storedOf(env.DB, manifests);
  const before = byKey((await read.all()).results);
  const adding = manifests.filter((manifest) => addsTo(before.get(keyOf(manifest)), manifest)).slice(0, MAX_WRITTEN);
  if (adding.length === 0) return before;
  const now = Date.now();
  const answers = await env.DB.batch([
    ...adding.flatMap((manifest) => registration(env, manifest, now)),
    ...promotions(env.DB, adding, now),
    read,
  ]);
  return byKey(answers.at(-1)?.results ?? []);
}

/** Whether a manifest is new, or brings what was missing: its schema, or how many processes stand by. */
function addsTo(stored: Stored | undefined, { lane, schema, minInstances }: Manifest): boolean {
  if (stored === undefined) return true;
  if (stored.deleted_at !== null || stored.lane !== lane) return false;
  return (schema !== null && stored.has_schema === 0) || (minInstances > 0 && stored.min_instances === null);
}

function storedOf(db: D1Database, manifests: readonly Manifest[]): D1PreparedStatement {
  const asked = manifests.map(({ owner, name, version }) => ({ owner, name, version }));
  return db
    .prepare(
      `SELECT v.owner, v.name, v.id, v.manifest ->> 'lane' AS lane, v.deleted_at,
         v.manifest ->> 'schema' IS NOT NULL AS has_schema, v.manifest ->> 'minInstances' AS min_instances FROM json_each(?) asked
       JOIN versions v ON v.owner = asked.value ->> 'owner' AND v.name = asked.value ->> 'name' AND v.id = asked.value ->> 'version'`,
    )
    .bind(JSON.stringify(asked));
}

function byKey(rows: readonly unknown[]): Map<string, Stored> {
  return new Map(
    rows.map((row) => {
      const stored = StoredSchema.parse(row);
      return [keyOf({ ...stored, version: stored.id }), stored];
    }),
  );
}

/** The version first: what it finds no room for makes no model, and changes none. */
function registration(env: QuotaVars & Pick<Env, "DB">, manifest: Manifest, now: number): D1PreparedStatement[] {
  const { owner, name, version, schema, streams } = manifest;
  const isKnown = "EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?3)";
  const isModel = "EXISTS (SELECT 1 FROM models WHERE owner = ?1 AND name = ?2 AND deleted_at IS NULL)";
  const bringsSchema = "(?6 IS NOT NULL AND manifest ->> 'schema' IS NULL)";
  const bytes = "length(CAST(?4 AS BLOB))";
  return [
    env.DB.prepare(
      `INSERT INTO versions (owner, name, id, manifest, created_at) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE iif(${isKnown}, ${hasRoom(env, "versions", "?1", bytes, 0)},
           ${hasRoom(env, "versions", "?1", bytes)} AND (${isModel} OR ${hasRoom(env, "models", "?1")}))
         ON CONFLICT DO UPDATE SET manifest = json_set(
             iif(${bringsSchema}, json_set(manifest, '$.schema', json(?6), '$.streams', ?7), manifest),
             '$.minInstances', coalesce(manifest ->> 'minInstances', ?9))
         WHERE deleted_at IS NULL AND manifest ->> 'lane' = ?8
           AND (${bringsSchema} OR (?9 > 0 AND manifest ->> 'minInstances' IS NULL))`,
    ).bind(
      owner,
      name,
      version,
      JSON.stringify(manifest),
      now,
      schema === null ? null : JSON.stringify(schema),
      streams,
      manifest.lane,
      manifest.minInstances,
    ),
    env.DB.prepare(
      `INSERT INTO models (owner, name, description, latest_version, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?5
         WHERE EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?4 AND created_at = ?5 AND deleted_at IS NULL)
         ON CONFLICT DO UPDATE SET latest_version = ?4, updated_at = ?5, deleted_at = NULL,
           description = CASE ?3 WHEN '' THEN description ELSE ?3 END`,
    ).bind(owner, name, manifest.description, version, now),
  ];
}

function refusal(manifest: Manifest, reason: string): ModelRefusal {
  return { model: modelPath(manifest), version: manifest.version, reason };
}

function keyOf({ owner, name, version }: Pick<Manifest, "owner" | "name" | "version">): string {
  return `${owner}/${name}:${version}`;
}

/** What tells one registration from another; the schema of a version never changes once it is there. */
function registrationKey(manifest: Manifest): string {
  return JSON.stringify({ ...manifest, schema: manifest.schema !== null });
}
