/**
 * Canaries: how predictions of a name are split between the version that it points to, the base, and another one. A
 * canary holds while it has not ended and its name points to its base: who moves the name ends it.
 */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { CountsSchema } from "../contract/canary.ts";
import type { Counts } from "../contract/canary.ts";
import type { ModelName } from "./known-models.ts";
import { decided } from "./aliases.ts";
import { forgetPointers, LATEST } from "./pointers.ts";

/**
 * How long an isolate remembers that a name has no canary, and one that it has: a return takes no longer to be seen.
 */
const NONE_CACHE_MS = 10_000;
const CACHE_MS = 2000;
const CACHED_POINTERS = 5000;

export const outcomes = ["returned", "promoted", "aborted", "moved"] as const;
export type Outcome = (typeof outcomes)[number];

/** A percentage that holds until `bakeS` seconds have passed, and enough predictions ended. */
export type Step = { percent: number; bakeS: number };

const StepsColumnSchema = z
  .string()
  .transform((text) => z.array(z.object({ percent: z.number(), bakeS: z.number() })).parse(JSON.parse(text)));

const CanaryRowSchema = z
  .object({
    pointer: z.string(),
    id: z.string(),
    owner: z.string(),
    name: z.string(),
    base: z.string(),
    version: z.string(),
    percent: z.number(),
    sticky_by: z.string(),
    steps: StepsColumnSchema,
    step: z.number(),
    step_at: z.number(),
    started_at: z.number(),
    ended_at: z.number().nullable(),
    outcome: z.enum(outcomes).nullable(),
    reason: z.string().nullable(),
    numbers: z
      .string()
      .nullable()
      .transform((text) => (text === null ? null : CountsSchema.parse(JSON.parse(text)))),
  })
  .transform((row) => ({
    pointer: row.pointer,
    id: row.id,
    model: { owner: row.owner, name: row.name },
    base: row.base,
    version: row.version,
    percent: row.percent,
    stickyBy: row.sticky_by,
    steps: row.steps,
    /** Which of the steps holds, and since when. */
    step: row.step,
    stepAt: row.step_at,
    startedAt: row.started_at,
    end:
      row.ended_at === null
        ? null
        : { at: row.ended_at, outcome: row.outcome ?? "aborted", reason: row.reason, numbers: row.numbers },
  }));
export type Canary = z.output<typeof CanaryRowSchema>;
export type CanaryEnd = { outcome: Outcome; reason: string | null; numbers: Counts | null };

const known = createTtlCache<Canary | null>(CACHED_POINTERS);

/** What a canary is kept by: of an alias (`latest` too), or of an account's deployment. */
export function aliasPointer({ owner, name }: ModelName, alias: string): string {
  return `alias ${owner}/${name}:${alias}`;
}

export function deploymentPointer(accountId: string, name: string): string {
  return `deployment ${accountId}/${name}`;
}

/** The canary of a name that points to `base`; null: none holds. Remembered in the isolate. */
export async function findCanary(db: D1Database, pointer: string, base: string): Promise<Canary | null> {
  let found = known.get(pointer);
  if (found === undefined) {
    found = await readCanary(db, pointer);
    const isRunning = found !== null && found.end === null;
    known.set(pointer, isRunning ? found : null, isRunning ? CACHE_MS : NONE_CACHE_MS);
  }
  return found !== null && found.end === null && found.base === base ? found : null;
}

/** The canary of a name that is running, or the last that was. */
export async function readCanary(db: D1Database, pointer: string): Promise<Canary | null> {
  const row = await db.prepare("SELECT * FROM canaries WHERE pointer = ?").bind(pointer).first();
  return row === null ? null : CanaryRowSchema.parse(row);
}

export async function readCanaryById(db: D1Database, id: string): Promise<Canary | null> {
  const row = await db.prepare("SELECT * FROM canaries WHERE id = ?").bind(id).first();
  return row === null ? null : CanaryRowSchema.parse(row);
}

export type NewCanary = Pick<Canary, "pointer" | "model" | "base" | "version" | "percent" | "stickyBy" | "steps">;

/** Starts a canary, in place of what was there; one of the same two versions goes on, with what it has counted. */
export async function startCanary(db: D1Database, canary: NewCanary): Promise<Canary> {
  const { pointer, model, base, version, percent, stickyBy, steps } = canary;
  const row = await db
    .prepare(
      `INSERT INTO canaries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?10, NULL, NULL, NULL, NULL)
       ON CONFLICT (pointer) DO UPDATE SET
         id = iif(ended_at IS NULL AND base = ?5 AND version = ?6, id, ?2),
         started_at = iif(ended_at IS NULL AND base = ?5 AND version = ?6, started_at, ?10),
         owner = ?3, name = ?4, base = ?5, version = ?6, percent = ?7, sticky_by = ?8, steps = ?9, step = 0, step_at = ?10,
         ended_at = NULL, outcome = NULL, reason = NULL, numbers = NULL
       RETURNING *`,
    )
    .bind(
      pointer,
      crypto.randomUUID(),
      model.owner,
      model.name,
      base,
      version,
      percent,
      stickyBy,
      JSON.stringify(steps),
      Date.now(),
    )
    .first();
  known.delete(pointer);
  return CanaryRowSchema.parse(row);
}

/** Ends a canary; false when it had ended before. */
export async function endCanary(db: D1Database, canary: Canary, end: CanaryEnd): Promise<boolean> {
  const { meta } = await db
    .prepare(
      "UPDATE canaries SET ended_at = ?2, outcome = ?3, reason = ?4, numbers = ?5 WHERE id = ?1 AND ended_at IS NULL",
    )
    .bind(canary.id, Date.now(), end.outcome, end.reason, textOf(end.numbers))
    .run();
  known.delete(canary.pointer);
  return meta.changes > 0;
}

/** Moves a canary on to a step; false when it has ended, was moved by somebody else, or has other steps by now. */
export async function moveOn(
  db: D1Database,
  { id, pointer, step, stepAt }: Canary,
  { percent }: Step,
): Promise<boolean> {
  const { meta } = await db
    .prepare(
      `UPDATE canaries SET percent = ?3, step = ?2 + 1, step_at = ?4
       WHERE id = ?1 AND step = ?2 AND step_at = ?5 AND ended_at IS NULL`,
    )
    .bind(id, step, percent, Date.now(), stepAt)
    .run();
  known.delete(pointer);
  return meta.changes > 0;
}

/**
 * Points the canary's name to its version, and ends it; false when it has ended, or its name points elsewhere. A
 * caller that goes by its steps says when the step began (`stepAt`): false, too, when they are others by now.
 */
export async function promoteCanary(
  db: D1Database,
  canary: Canary,
  end: Omit<CanaryEnd, "outcome">,
  stepAt: number | null = null,
): Promise<boolean> {
  const { id, model, base, version, pointer } = canary;
  const { table, column, where, names } = placeOf(canary);
  const [moved] = await db.batch([
    db
      .prepare(
        `UPDATE ${table} SET ${column} = ?4, ${table === "deployments" ? "release = release + 1, released_at" : "updated_at"} = ?5
         WHERE ${where} AND ${column} = ?6 AND EXISTS (SELECT 1 FROM canaries
           WHERE id = ?7 AND step_at = coalesce(?8, step_at) AND ended_at IS NULL)`,
      )
      .bind(...names, version, Date.now(), base, id, stepAt),
    db
      .prepare(
        `UPDATE canaries SET ended_at = ?5, outcome = 'promoted', reason = ?6, numbers = ?7
         WHERE id = ?8 AND ended_at IS NULL AND EXISTS (SELECT 1 FROM ${table} WHERE ${where} AND ${column} = ?4)`,
      )
      .bind(...names, version, Date.now(), end.reason, textOf(end.numbers), id),
    ...(table === "models" ? [decided(db, model)] : []),
  ]);
  known.delete(pointer);
  forgetPointers(model);
  return (moved?.meta.changes ?? 0) > 0;
}

/** Where it is stored what the canary's name points to; `names` are the first three values of a statement. */
function placeOf({ pointer, model: { owner, name } }: Canary) {
  if (pointer.startsWith("deployment ")) {
    const [accountId = "", deployment = ""] = pointer.slice("deployment ".length).split("/");
    return {
      table: "deployments",
      column: "version",
      where: "account_id = ?1 AND name = ?2 AND ?3 = ''",
      names: [accountId, deployment, ""],
    };
  }
  const alias = pointer.slice(pointer.indexOf(":") + 1);
  const where = "owner = ?1 AND name = ?2 AND";
  return alias === LATEST
    ? { table: "models", column: "latest_version", where: `${where} ?3 = '${LATEST}'`, names: [owner, name, alias] }
    : { table: "aliases", column: "version", where: `${where} alias = ?3`, names: [owner, name, alias] };
}

function textOf(numbers: Counts | null): string | null {
  return numbers === null ? null : JSON.stringify(numbers);
}
