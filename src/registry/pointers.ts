/**
 * What a name of a model points to: `latest`, which follows what is pushed or registered, and the aliases that its
 * owner moves. On the path of every prediction that names a model: remembered for at most 10 s in the isolate.
 */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { RulesSchema } from "../canary/routes.ts";
import type { Rule } from "../canary/routes.ts";
import { modelPath } from "../contract/manifest.ts";
import {
  CACHE_MS,
  cacheBudget,
  CACHED_MODELS,
  cacheMs,
  isVisible,
  ManifestColumnSchema,
  mayBeModel,
  visibilities,
} from "./known-models.ts";
import type { ModelName, Version, Viewer } from "./known-models.ts";
import { ConfigurationColumnSchema } from "./configuration-column.ts";
import { withConfiguration } from "./model-configurations.ts";
import { BUNDLE_COLUMN, BundleColumnSchema } from "./version-state.ts";

export const LATEST = "latest";

/** What could be taken for a version, or the beginning of one, is no alias. */
const LIKE_A_VERSION = /^[0-9a-f]{7,}$/;
const ALIAS = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export const AliasNameSchema = z
  .string()
  .regex(ALIAS, "takes lower-case letters, digits, '.', '_' and '-', at most 63")
  .refine((name) => !LIKE_A_VERSION.test(name), "must not look like a version: seven or more hexadecimal digits")
  .meta({ description: "`latest`, or a name of your own, such as `stable`.", examples: ["stable"] });

const RulesColumnSchema = z
  .string()
  .nullable()
  .transform((text) => (text === null ? [] : RulesSchema.parse(JSON.parse(text))));

/** A named one that isn't there has no manifest, and neither has `latest` of a model without versions. */
const PointerRowSchema = z
  .object({
    owner: z.string(),
    visibility: z.enum(visibilities),
    configuration: ConfigurationColumnSchema,
    manifest: ManifestColumnSchema.nullable(),
    bundle: BundleColumnSchema,
    version_created_at: z.number().nullable(),
    routes: RulesColumnSchema,
  })
  .transform(({ owner, visibility, configuration, manifest, bundle, version_created_at: createdAt, routes }) => ({
    owner,
    visibility,
    rules: routes,
    bundle,
    version:
      manifest === null
        ? null
        : { manifest: withConfiguration(manifest, configuration), createdAt: createdAt ?? 0, bundle },
  }));
type KnownPointer = z.output<typeof PointerRowSchema>;

const pointers = createTtlCache<KnownPointer | null>(CACHED_MODELS, cacheBudget);
/** Counts what this isolate forgets of a model, so that all of its names are forgotten at once. */
const generations = createTtlCache<number>(CACHED_MODELS);

/**
 * The version that a name of a model points to; null where it points to none, undefined when there is no model that the
 * viewer may know of.
 */
export async function findPointer(
  db: D1Database,
  viewer: Viewer,
  model: ModelName,
  alias: string,
): Promise<Version | null | undefined> {
  const found = await readPointer(db, model, alias);
  return found !== null && isVisible(found, viewer) ? found.version : undefined;
}

/** The latest version of a model; as `findPointer` answers. */
export function findLatestVersion(
  db: D1Database,
  viewer: Viewer,
  model: ModelName,
): Promise<Version | null | undefined> {
  return findPointer(db, viewer, model, LATEST);
}

/** By which rules requests that name the model alone get its versions; none where the viewer may not know of it. */
export async function findRules(db: D1Database, viewer: Viewer, model: ModelName): Promise<readonly Rule[]> {
  const found = await readPointer(db, model, LATEST);
  return found !== null && isVisible(found, viewer) ? found.rules : [];
}

/** The same, as they are stored. */
export async function readRules(db: D1Database, { owner, name }: ModelName): Promise<Rule[]> {
  const query = "SELECT routes FROM models WHERE owner = ? AND name = ?";
  return RulesColumnSchema.parse(await db.prepare(query).bind(owner, name).first("routes"));
}

/** Puts others in their place. The caller has checked them, and whose model it is. */
export async function saveRules(db: D1Database, model: ModelName, rules: readonly Rule[]): Promise<void> {
  await db
    .prepare("UPDATE models SET routes = ?3 WHERE owner = ?1 AND name = ?2")
    .bind(model.owner, model.name, rules.length === 0 ? null : JSON.stringify(rules))
    .run();
  forgetPointers(model);
}

/** Forgets what this isolate remembers of a model's names; others forget within 10 s. */
export function forgetPointers(model: ModelName): void {
  const path = modelPath(model);
  generations.set(path, (generations.get(path) ?? 0) + 1, CACHE_MS);
}

async function readPointer(db: D1Database, model: ModelName, alias: string): Promise<KnownPointer | null> {
  if (!mayBeModel(model) || !AliasNameSchema.safeParse(alias).success) return null;
  const path = modelPath(model);
  const key = `${path}:${alias}:${generations.get(path) ?? 0}`;
  const known = pointers.get(key);
  if (known !== undefined) return known;
  const row = await db
    .prepare(
      `SELECT m.owner, m.visibility, m.configuration, m.routes, v.manifest, v.created_at AS version_created_at, ${BUNDLE_COLUMN}
       FROM models m LEFT JOIN aliases a ON a.owner = m.owner AND a.name = m.name AND a.alias = ?3
       LEFT JOIN versions v ON v.owner = m.owner AND v.name = m.name
         AND v.id = iif(?3 = '${LATEST}', m.latest_version, a.version) AND v.deleted_at IS NULL
       WHERE m.owner = ?1 AND m.name = ?2 AND m.deleted_at IS NULL`,
    )
    .bind(model.owner, model.name, alias)
    .first();
  const found = row === null ? null : PointerRowSchema.parse(row);
  pointers.set(key, found, cacheMs(found === null ? [] : [found]));
  return found;
}
