/** Versions that were pushed: registered with their files, fetched and set up by pools, swept once they are deleted. */
import * as z from "zod";
import { AttachedPluginSchema } from "../contract/attached-plugin.ts";
import type { AttachedPlugin } from "../contract/attached-plugin.ts";
import { bundleBytes, bundleVersion, canonicalJson, chunkSizes } from "../contract/bundle.ts";
import type { Manifest } from "../contract/manifest.ts";
import type { ModelRef } from "../contract/prediction.ts";
import type { Push, VersionProblem } from "../contract/push.ts";
import type { Env } from "../env.ts";
import { log } from "../telemetry/log.ts";
import { checkChunks, readList, storeList } from "./bundle-chunks.ts";
import { countChunks } from "./chunks.ts";
import { promotions } from "./latest.ts";
import { trustedOwners } from "./registration.ts";
import { forgetModel } from "./models.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";
import { askForRecount } from "./recounts.ts";
import type { SweepStep } from "./sweep.ts";
import {
  againInMs,
  hostSql,
  hostsStatement,
  isFullSql,
  isTriedTooLittle,
  judge,
  reportOf,
  ReportsColumnSchema,
} from "./version-reports.ts";
import type { Reporter } from "./version-reports.ts";
import type { OwnersView } from "./version-state.ts";

/** Of a pool's log, the end is kept. */
const MAX_KEPT_LOG_CHARS = 16_384;
const SWEEP_LIMIT = 20;
/** What one bundle takes to be swept: its list of files is read, and a batch is written. */
const SWEEP_BUNDLE_CALLS = 2;
/** How long a deleted bundle stays at least: predictions that were accepted before run to their end. */
const KEPT_MS = "max(3600000, b.manifest ->> 'totalTimeoutMs')";

type Stores = QuotaVars & Pick<Env, "DB" | "BLOBS">;
type ModelName = { owner: string; name: string };
export type VersionName = ModelName & { version: string };

/** `created` false: it was there already. */
export type Registered = { version: string; created: boolean };

const OF_VERSION = "owner = ?1 AND name = ?2 AND version = ?3";

/**
 * Registers a version with its files, all of which have to be here; a version that is here already is asked for anew.
 * `pluginsOf` reads the plugins among its files, and throws for those that can't be. Throws that, `bundle_incomplete`,
 * `chunk_mismatch` (a file of another size than its chunks have) or `quota_exceeded`.
 */
export async function registerBundle(
  env: Stores,
  model: ModelName,
  push: Push,
  pluginsOf: (version: ModelRef) => Promise<readonly AttachedPlugin[]>,
): Promise<Registered> {
  const version = await bundleVersion(push.bundle);
  const sizes = chunkSizes(push.bundle);
  const known = await env.DB.prepare(`SELECT 1 AS there FROM bundles WHERE ${OF_VERSION} AND deleted_at IS NULL`)
    .bind(model.owner, model.name, version)
    .first("there");
  if (known === null) await checkChunks(env.DB, model.owner, [...sizes]);
  const plugins = await pluginsOf({ ...model, version });
  if (known === null) {
    await storeList(env, model.owner, version, new TextEncoder().encode(canonicalJson(push.bundle)));
  }
  const nonce = crypto.randomUUID();
  const manifest: Manifest = { ...push.manifest, ...model, version };
  const chunks = [version, ...sizes.keys()];
  const answers = await env.DB.batch<{ nonce?: string }>([
    ...versionStatements(env, manifest),
    bundleStatement(env.DB, manifest, push, { nonce, plugins }),
    ...countChunks(env.DB, model.owner, chunks, {
      by: 1,
      condition: `EXISTS (SELECT 1 FROM bundles WHERE owner = ?1 AND name = ?4 AND version = ?5 AND nonce = ?6)`,
      bindings: [model.name, version, nonce],
    }),
    ...promotions(env.DB, [model], Date.now()),
  ]);
  forgetModel(model, version);
  const made = answers[VERSION_STATEMENTS]?.results[0];
  if (made === undefined) throw quotaExceeded(env, "models", "versions");
  return { version, created: known === null && made.nonce === nonce };
}

/** How many statements come before the one that makes the bundle's row. */
const VERSION_STATEMENTS = 3;

/**
 * The mark of a version that was deleted goes, where that may be pushed again; then the version; then its model, which
 * is private when it is new.
 */
function versionStatements(env: QuotaVars & Pick<Env, "DB">, manifest: Manifest): D1PreparedStatement[] {
  const { owner, name, version, schema } = manifest;
  const isKnown = "EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?3 AND deleted_at IS NULL)";
  const isModel = "EXISTS (SELECT 1 FROM models WHERE owner = ?1 AND name = ?2 AND deleted_at IS NULL)";
  const bytes = "length(CAST(?4 AS BLOB))";
  const mayBeMade = `${hasRoom(env, "versions", "?1", bytes)} AND (${isModel} OR ${hasRoom(env, "models", "?1")})`;
  const now = Date.now();
  return [
    env.DB.prepare(
      `DELETE FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?3 AND deleted_at IS NOT NULL AND ${mayBeMade}`,
    ).bind(owner, name, version, JSON.stringify(manifest)),
    env.DB.prepare(
      `INSERT INTO versions (owner, name, id, manifest, created_at) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE iif(${isKnown}, ${hasRoom(env, "versions", "?1", bytes, 0)},
           ${mayBeMade})
         ON CONFLICT DO UPDATE SET manifest = json_set(manifest, '$.schema', json(?6), '$.streams', ?7)
         WHERE ?6 IS NOT NULL AND manifest ->> 'schema' IS NULL`,
    ).bind(
      owner,
      name,
      version,
      JSON.stringify(manifest),
      now,
      schema === null ? null : JSON.stringify(schema),
      manifest.streams,
    ),
    env.DB.prepare(
      `INSERT INTO models (owner, name, description, visibility, created_at, updated_at) SELECT ?1, ?2, ?4, 'private', ?5, ?5
         WHERE ${isKnown}
         ON CONFLICT DO UPDATE SET visibility = iif(deleted_at IS NULL, visibility, 'private'), deleted_at = NULL, updated_at = ?5,
           description = CASE ?4 WHEN '' THEN description ELSE ?4 END`,
    ).bind(owner, name, version, manifest.description, now),
  ];
}

function bundleStatement(
  db: D1Database,
  manifest: Manifest,
  push: Push,
  { nonce, plugins }: { nonce: string; plugins: readonly AttachedPlugin[] },
): D1PreparedStatement {
  const { owner, name, version, lane } = manifest;
  return db
    .prepare(
      `INSERT INTO bundles (owner, name, version, manifest, lane, files, bytes, nonce, wants_latest, pushed_at, plugins)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
         WHERE EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?3 AND deleted_at IS NULL)
       ON CONFLICT DO UPDATE SET wants_latest = ?9, pushed_at = ?10, deleted_at = NULL, stage = NULL, problem = NULL, log = NULL,
         reports = NULL, failed = 0, plugins = ?11, plugin_problem = NULL,
         fetched_at = iif(problem IS NULL AND deleted_at IS NULL, fetched_at, NULL)
       RETURNING nonce`,
    )
    .bind(
      owner,
      name,
      version,
      JSON.stringify({ ...manifest, schema: null }),
      lane,
      push.bundle.files.length,
      bundleBytes(push.bundle),
      nonce,
      push.latest ? 1 : 0,
      Date.now(),
      plugins.length === 0 ? null : JSON.stringify(plugins),
    );
}

/** Whether such a version was pushed and is kept, on one of these lanes: so long pools may fetch it. */
export async function isFetchable(db: D1Database, { owner, name, version }: VersionName, lanes: readonly string[]) {
  const row = await db
    .prepare(`SELECT lane FROM bundles WHERE ${OF_VERSION}`)
    .bind(owner, name, version)
    .first<{ lane: string }>();
  return row !== null && lanes.includes(row.lane);
}

/** Notes that a pool asks for the version's files. */
export async function noteFetched(db: D1Database, { owner, name, version }: VersionName): Promise<void> {
  const { meta } = await db
    .prepare(`UPDATE bundles SET fetched_at = ?4 WHERE ${OF_VERSION} AND fetched_at IS NULL`)
    .bind(owner, name, version, Date.now())
    .run();
  if (meta.changes > 0) forgetModel({ owner, name }, version);
}

/** Hosts that could not run a live version are not kept: there may be any number of them in its time. */
const IS_LIVE = `EXISTS (SELECT 1 FROM versions v WHERE v.owner = bundles.owner AND v.name = bundles.name
  AND v.id = bundles.version AND v.manifest ->> 'schema' IS NOT NULL)`;

const ReportedSchema = z.object({
  lane: z.string(),
  failed: z.number(),
  reports: ReportsColumnSchema,
  text: z.string(),
  is_live: z.number(),
});

/**
 * Notes why a pool can't run the version: the last one to say so is shown, and the version has failed once hosts
 * enough say so (version-reports.ts). Answers when this host should try again; null: it shouldn't.
 */
export async function noteProblem(
  env: Pick<Env, "DB" | "TRUSTED_OWNERS">,
  { owner, name, version }: VersionName,
  reporter: Reporter,
  { log: lines, ...said }: VersionProblem,
): Promise<number | null> {
  const reported = await env.DB.prepare(
    `UPDATE bundles SET stage = ?4, problem = ?5, log = ?6,
       reports = iif(failed = 2 OR ${IS_LIVE} OR ${isFullSql("reports", "?7", "?8")}, reports,
         json_patch(coalesce(reports, '{}'), json_object(${hostSql("?7", "?8")}, json(?9))))
     WHERE ${OF_VERSION} AND deleted_at IS NULL
     RETURNING lane, failed, reports, coalesce(reports, '{}') AS text, ${IS_LIVE} AS is_live`,
  )
    .bind(
      ...[owner, name, version, said.stage, said.problem.toWellFormed()],
      ...[lines.slice(-MAX_KEPT_LOG_CHARS).toWellFormed(), reporter.token, reporter.session],
      JSON.stringify(reportOf(said)),
    )
    .first();
  forgetModel({ owner, name }, version);
  if (reported === null) return null;
  const { lane, failed, reports, text, is_live: isLive } = ReportedSchema.parse(reported);
  if (isLive === 1 || failed === 2) return null;
  const isTrusted = trustedOwners(env).includes(owner);
  const { results } = await hostsStatement(env.DB, { owner, lane, isTrusted }).all<{ host: string }>();
  const verdict = judge(
    reports,
    results.map(({ host }) => host),
  );
  // What another host said meanwhile is judged by its own report.
  if (verdict !== failed)
    await env.DB.prepare(`UPDATE bundles SET failed = ?4 WHERE ${OF_VERSION} AND reports = ?5`)
      .bind(owner, name, version, verdict, text)
      .run();
  const isOver = verdict === 2 || (verdict === 1 && !isTriedTooLittle(reports, reporter.token));
  return isOver || said.tries === undefined ? null : againInMs(said.tries);
}

/** What only the owner is shown: the end of a pool's log of its problem, and what went wrong with its plugins. */
export async function readOwnersView(db: D1Database, { owner, name, version }: VersionName): Promise<OwnersView> {
  const query = `SELECT log, plugin_problem FROM bundles WHERE ${OF_VERSION}`;
  const row = OwnersRowSchema.parse(await db.prepare(query).bind(owner, name, version).first());
  return { log: row?.log ?? null, pluginProblem: row?.plugin_problem ?? null };
}

const OwnersRowSchema = z.object({ log: z.string().nullable(), plugin_problem: z.string().nullable() }).nullable();

/** The plugins that came with a version, also with one that was deleted while its predictions go on; null: none did. */
export async function findPlugins(
  db: D1Database,
  { owner, name, version }: VersionName,
): Promise<AttachedPlugin[] | null> {
  const row = await db.prepare(`SELECT plugins FROM bundles WHERE ${OF_VERSION}`).bind(owner, name, version).first();
  return PluginsRowSchema.parse(row)?.plugins ?? null;
}

const PluginsRowSchema = z
  .object({
    plugins: z
      .string()
      .transform((text) => z.array(AttachedPluginSchema).parse(JSON.parse(text)))
      .nullable(),
  })
  .nullable();

/** Notes what went wrong with a plugin of a version; the last one is shown. */
export async function notePluginProblem(
  db: D1Database,
  { owner, name, version }: VersionName,
  problem: string,
): Promise<void> {
  const query = `UPDATE bundles SET plugin_problem = ?4 WHERE ${OF_VERSION} AND deleted_at IS NULL`;
  await db.prepare(query).bind(owner, name, version, problem.toWellFormed()).run();
}

const DeletedRowSchema = z.object({ owner: z.string(), name: z.string(), version: z.string(), nonce: z.string() });

/**
 * Takes away bundles of versions that were deleted, once what was accepted before has ended: their chunks are counted
 * no longer, and go with those that no bundle has.
 */
export async function sweepBundles(
  { DB: db, BLOBS: bucket }: Pick<Env, "DB" | "BLOBS">,
  maxCalls: number,
): Promise<SweepStep> {
  const { results } = await db
    .prepare(
      `SELECT owner, name, version, nonce FROM bundles b WHERE deleted_at IS NOT NULL AND deleted_at + ${KEPT_MS} <= ?
       ORDER BY deleted_at LIMIT ${SWEEP_LIMIT}`,
    )
    .bind(Date.now())
    .all();
  let calls = 1;
  for (const row of results) {
    if (calls + SWEEP_BUNDLE_CALLS > maxCalls) return { calls, more: true };
    calls += SWEEP_BUNDLE_CALLS;
    await removeBundle(db, bucket, DeletedRowSchema.parse(row));
  }
  return { calls, more: results.length === SWEEP_LIMIT };
}

async function removeBundle(
  db: D1Database,
  bucket: R2Bucket,
  { owner, name, version, nonce }: z.output<typeof DeletedRowSchema>,
): Promise<void> {
  const list = await readList(bucket, owner, version);
  if (list === null) log.error("bundle_list_is_gone", { model: `${owner}/${name}`, version });
  const chunks = list === null ? [] : [...chunkSizes(list).keys()];
  const condition = "name = ?4 AND version = ?5 AND nonce = ?6 AND deleted_at IS NOT NULL";
  await db.batch([
    ...countChunks(db, owner, [version, ...chunks], {
      by: -1,
      condition: `EXISTS (SELECT 1 FROM bundles WHERE owner = ?1 AND ${condition})`,
      bindings: [name, version, nonce],
    }),
    db
      .prepare(`DELETE FROM bundles WHERE ${OF_VERSION} AND nonce = ?4 AND deleted_at IS NOT NULL`)
      .bind(owner, name, version, nonce),
    ...(list === null ? [askForRecount(db, owner)] : []),
  ]);
}
