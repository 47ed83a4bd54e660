/**
 * Moving a model's names from version to version, and back. Triggers of the database note every move, whoever makes it
 * (migration 0460), so that what a push did is undone like what an owner did.
 */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import type { ModelName } from "./known-models.ts";
import { forgetPointers, LATEST } from "./pointers.ts";

/** Of one model. */
const MAX_ALIASES = 100;

const MoveRowSchema = z
  .object({
    alias: z.string(),
    version: z.string(),
    at: z.number(),
    undone_at: z.number().nullable(),
  })
  .transform(({ alias, version, at, undone_at: undoneAt }) => ({ alias, move: { version, at, undoneAt } }));
/** What a name has pointed to since `at`; `undoneAt`: until it was rolled back. */
type Move = z.output<typeof MoveRowSchema>["move"];

const AliasRowSchema = z.object({ alias: z.string(), version: z.string(), updated_at: z.number() });
/** A name of a model; `moves` has the newest first. */
export type Alias = { alias: string; version: string; movedAt: number; moves: Move[] };

/** The names of a model, `latest` first; with `only`, the one that is called so. */
export async function listAliases(db: D1Database, model: ModelName, only: string | null = null): Promise<Alias[]> {
  const [aliases, moves] = await db.batch([
    db
      .prepare(
        `SELECT '${LATEST}' AS alias, latest_version AS version, updated_at FROM models
           WHERE owner = ?1 AND name = ?2 AND latest_version IS NOT NULL AND deleted_at IS NULL AND coalesce(?3, '${LATEST}') = '${LATEST}'
         UNION ALL SELECT alias, version, updated_at FROM aliases WHERE owner = ?1 AND name = ?2 AND (?3 IS NULL OR alias = ?3)`,
      )
      .bind(model.owner, model.name, only),
    db
      .prepare(
        `SELECT alias, version, at, undone_at FROM alias_moves WHERE owner = ?1 AND name = ?2 AND (?3 IS NULL OR alias = ?3)
         ORDER BY alias, number DESC`,
      )
      .bind(model.owner, model.name, only),
  ]);
  const byAlias = Map.groupBy(
    (moves?.results ?? []).map((row) => MoveRowSchema.parse(row)),
    ({ alias }) => alias,
  );
  return (aliases?.results ?? []).map((row) => {
    const { alias, version, updated_at: updatedAt } = AliasRowSchema.parse(row);
    const own = (byAlias.get(alias) ?? []).map(({ move }) => move);
    return { alias, version, movedAt: own.find(({ undoneAt }) => undoneAt === null)?.at ?? updatedAt, moves: own };
  });
}

/** A name of a model; null when there is none. */
export async function readAlias(db: D1Database, model: ModelName, alias: string): Promise<Alias | null> {
  const [found = null] = await listAliases(db, model, alias);
  return found;
}

/**
 * Points a name to a version, which the caller has found. Throws `quota_exceeded` for one name too many, and
 * `version_not_found` when the version has just gone.
 */
export async function moveAlias(db: D1Database, model: ModelName, alias: string, version: string): Promise<void> {
  const { owner, name } = model;
  const isThere = "EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?3 AND deleted_at IS NULL)";
  const moved =
    alias === LATEST
      ? db
          .prepare(
            `UPDATE models SET latest_version = ?3, updated_at = ?4 WHERE owner = ?1 AND name = ?2 AND ${isThere}`,
          )
          .bind(owner, name, version, Date.now())
      : db
          .prepare(
            `INSERT INTO aliases SELECT ?1, ?2, ?5, ?3, ?4, ?4 WHERE ${isThere} AND (
             EXISTS (SELECT 1 FROM aliases WHERE owner = ?1 AND name = ?2 AND alias = ?5)
             OR (SELECT count(*) FROM aliases WHERE owner = ?1 AND name = ?2) < ${MAX_ALIASES})
           ON CONFLICT DO UPDATE SET version = ?3, updated_at = ?4`,
          )
          .bind(owner, name, version, Date.now(), alias);
  const [done] = await db.batch([moved, ...(alias === LATEST ? [decided(db, model)] : [])]);
  forgetPointers(model);
  if (done !== undefined && done.meta.changes > 0) return;
  const there = db.prepare(`SELECT ${isThere} AS there`).bind(owner, name, version);
  if ((await there.first("there")) !== 1)
    throw new EdgeplaneError("version_not_found", "The version has been deleted.");
  throw new EdgeplaneError("quota_exceeded", `The model has as many aliases as it may: ${MAX_ALIASES}.`);
}

/** What was pushed before and is still pending moves `latest` no longer: its owner has decided otherwise since. */
export function decided(db: D1Database, { owner, name }: ModelName): D1PreparedStatement {
  return db
    .prepare("UPDATE bundles SET wants_latest = 0 WHERE owner = ? AND name = ? AND wants_latest = 1")
    .bind(owner, name);
}

/** Takes a name away; false when there was none. Throws `conflict` while a rule of the model's routes names it. */
export async function deleteAlias(db: D1Database, model: ModelName, alias: string): Promise<boolean> {
  const named = `SELECT 1 AS there FROM models m, json_each(m.routes) r
    WHERE m.owner = ?1 AND m.name = ?2 AND r.value ->> 'version' = ?3`;
  const { meta } = await db
    .prepare(`DELETE FROM aliases WHERE owner = ?1 AND name = ?2 AND alias = ?3 AND NOT EXISTS (${named})`)
    .bind(model.owner, model.name, alias)
    .run();
  forgetPointers(model);
  const isNamed =
    meta.changes === 0 && (await db.prepare(named).bind(model.owner, model.name, alias).first("there")) === 1;
  if (isNamed) throw new EdgeplaneError("conflict", "A rule of the model's routes names the alias: change that first.");
  return meta.changes > 0;
}

/**
 * Points a name to the version that it had before this one and that is still there and live. Rolling back again goes
 * further back. Throws `conflict` when there is none, or when somebody moved it, or deleted that, meanwhile.
 */
export async function rollBack(db: D1Database, model: ModelName, alias: Alias): Promise<void> {
  const { owner, name } = model;
  const { results } = await db
    .prepare(
      `SELECT m.number, m.version FROM alias_moves m JOIN versions v ON v.owner = m.owner AND v.name = m.name AND v.id = m.version
       WHERE m.owner = ?1 AND m.name = ?2 AND m.alias = ?3 AND m.undone_at IS NULL AND v.deleted_at IS NULL
         AND (v.manifest ->> 'schema' IS NOT NULL OR m.version = ?4 OR NOT EXISTS (SELECT 1 FROM bundles b
           WHERE b.owner = v.owner AND b.name = v.name AND b.version = v.id AND b.deleted_at IS NULL))
       ORDER BY m.number DESC`,
    )
    .bind(owner, name, alias.alias, alias.version)
    .all<{ number: number; version: string }>();
  const current = results.findIndex(({ version }) => version === alias.version);
  const before = results.slice(current + 1).find(({ version }) => version !== alias.version);
  if (before === undefined)
    throw new EdgeplaneError("conflict", `\`${alias.alias}\` has no version before this one that is still there.`);
  const [table, column] = alias.alias === LATEST ? ["models", "latest_version"] : ["aliases", "version"];
  const narrowed = alias.alias === LATEST ? "" : "AND alias = ?3";
  const points = `SELECT 1 FROM ${table} WHERE owner = ?1 AND name = ?2 ${narrowed} AND ${column} = ?4`;
  const isThere = "EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id = ?5 AND deleted_at IS NULL)";
  const [, moved] = await db.batch([
    db
      .prepare(
        `UPDATE alias_moves SET undone_at = ?6 WHERE owner = ?1 AND name = ?2 AND alias = ?3 AND number > ?7
           AND undone_at IS NULL AND EXISTS (${points}) AND ${isThere}`,
      )
      .bind(owner, name, alias.alias, alias.version, before.version, Date.now(), before.number),
    db
      .prepare(
        `UPDATE ${table} SET ${column} = ?5, updated_at = ?6
           WHERE owner = ?1 AND name = ?2 ${narrowed} AND ${column} = ?4 AND ${isThere}`,
      )
      .bind(owner, name, alias.alias, alias.version, before.version, Date.now()),
    ...(alias.alias === LATEST ? [decided(db, model)] : []),
  ]);
  forgetPointers(model);
  if (moved?.meta.changes === 0)
    throw new EdgeplaneError(
      "conflict",
      `\`${alias.alias}\` was moved by somebody else meanwhile, or the version before was deleted: look again.`,
    );
}
