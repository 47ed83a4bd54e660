/**
 * The numbered schema of what an object stores. An object is brought to the schema of its code when it is first
 * touched, step by step; a step that many rows are part of goes on page by page beside the object's work.
 *
 *   no table ─┐
 *   number n  ├── steps n + 1 … ──▶ current (─── pages ──▶ current)
 *   from before numbers ─┘
 *   a number that the code doesn't know ──▶ refused: nothing is read, nothing is written (`versioned-object.ts`)
 *
 * The rules for a new step, with what they are for, stand in docs/operate.md, "Upgrade".
 */
import type { Sql } from "./shard/sql.ts";

export type Step = {
  /** Whole or not at all, in a time that doesn't grow with what is stored: tables, columns, an index of nothing. */
  up?: (sql: Sql) => void;
  /**
   * Changes the rows behind `after` ("" at first), so many that nobody notices, and answers the place behind them;
   * null: there are no more. Until then the code reads rows of both forms.
   */
  page?: (sql: Sql, after: string) => string | null;
  /** The release before can go on with what this step has changed: it reads and writes none of it. */
  isAdded?: true;
};

/** The first step makes the tables, or takes over those from before schemas were numbered. */
export type Schema = { name: string; steps: readonly [Step, ...Step[]] };

/** Runs something whole or not at all. */
type Transaction = <Result>(run: () => Result) => Result;
const atOnce: Transaction = (run) => run();

const TABLE = "object_schema";
/**
 * `needs`: the least number that code must know; `step` and `place`: whose pages are under way, and how far they are.
 */
type Stored = { version: number; needs: number; step: number | null; place: string };

/** How the message of every refusal begins, by which it is known beyond a call. */
const NEWER = "stored by a later release";

export class NewerSchemaError extends Error {
  constructor({ name, steps }: Schema, needs: number) {
    super(
      `${NEWER}: this ${name} has schema ${needs}, and this release knows ${steps.length}; deploy that release again`,
    );
    this.name = "NewerSchemaError";
  }
}

/** Whether an object was called that only a later release can read, by the error of the call. */
export function isNewerSchema(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith(NEWER);
}

/** Whether nothing was ever stored. */
export function isEmpty(sql: Sql): boolean {
  return sql(String.raw`SELECT 1 FROM sqlite_master WHERE name NOT LIKE '\_cf\_%' ESCAPE '\' LIMIT 1`).length === 0;
}

/**
 * Brings what is stored to the schema; throws `NewerSchemaError`, and touches nothing, when it is of a later one.
 * Answers whether pages of a step are left.
 */
export function openSchema(sql: Sql, schema: Schema, transaction: Transaction = atOnce): boolean {
  const { steps } = schema;
  const stored = read(sql);
  if (stored !== null && stored.needs > steps.length) throw new NewerSchemaError(schema, stored.needs);
  if (stored !== null && stored.version >= steps.length) return stored.step !== null;
  const from = stored?.version ?? 0;
  return transaction(() => {
    for (const step of steps.slice(from)) step.up?.(sql);
    const paged = stored?.step ?? nextPaged(schema, from);
    const needs = steps.findLastIndex(({ isAdded }) => isAdded !== true) + 1;
    const place = stored?.step === paged ? (stored?.place ?? "") : "";
    if (stored === null)
      sql(
        `CREATE TABLE ${TABLE} (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, needs INTEGER NOT NULL, step INTEGER, place TEXT NOT NULL)`,
      );
    write(sql, { version: steps.length, needs: Math.max(needs, stored?.needs ?? 0), step: paged, place });
    return paged !== null;
  });
}

/** Goes on with steps that go by pages. Answers whether any are left. */
export function nextPage(sql: Sql, schema: Schema, transaction: Transaction = atOnce): boolean {
  const stored = read(sql);
  // Pages of a later release's are that release's.
  const page = stored?.step === null || stored === null ? undefined : schema.steps[stored.step - 1]?.page;
  if (stored === null || stored.step === null || page === undefined) return false;
  const { step, place } = stored;
  return transaction(() => {
    const reached = page(sql, place);
    const next = reached === null ? nextPaged(schema, step) : step;
    write(sql, { ...stored, step: next, place: reached ?? "" });
    return next !== null;
  });
}

/** The number of the first step behind `number` that goes by pages. */
function nextPaged({ steps }: Schema, number: number): number | null {
  const index = steps.findIndex(({ page }, at) => at >= number && page !== undefined);
  return index < 0 ? null : index + 1;
}

function read(sql: Sql): Stored | null {
  if (sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", TABLE).length === 0) return null;
  const [row] = sql(`SELECT version, needs, step, place FROM ${TABLE}`);
  const step = row?.["step"] ?? null;
  return {
    version: Number(row?.["version"] ?? 0),
    needs: Number(row?.["needs"] ?? 0),
    step: step === null ? null : Number(step),
    place: String(row?.["place"] ?? ""),
  };
}

function write(sql: Sql, { version, needs, step, place }: Stored): void {
  sql(`INSERT OR REPLACE INTO ${TABLE} VALUES (1, ?, ?, ?, ?)`, version, needs, step, place);
}

/** Adds a column that a table had not at first. */
export function addColumn(sql: Sql, table: string, name: string, type: string): void {
  if (sql("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", table, name).length > 0) return;
  sql(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`);
}
