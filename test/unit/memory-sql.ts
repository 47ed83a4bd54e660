/** Stored state on node:sqlite in memory: what the cores run on in tests, at thousands of interleavings a second. */
import { DatabaseSync } from "node:sqlite";
import type { SQLOutputValue, StatementSync } from "node:sqlite";
import type { Sql, SqlRow, SqlValue } from "../../src/shard/sql.ts";

/** Tables that grow with what is stored. Nothing that is asked of them goes through them, not at a start either. */
const LARGE = /^SCAN (prediction|frame|waiting|webhook_outbox|messages|bodies|forgotten|disabled)\b/;
/** What waits in a lane is not sorted either: a limit would not spare that work. */
const SORT = /^USE TEMP B-TREE FOR (LAST TERM OF )?ORDER BY/;
const SEARCHED = /^SEARCH waiting\b/;
/** What may: what tests look at, and what asks for any row. */
const ALLOWED = [
  /^SELECT \* FROM \w+$/,
  /^SELECT 1 FROM \w+ LIMIT 1$/,
  /^SELECT count\(\*\) - count\(finished_at\) AS open, count\(finished_at\) AS finished FROM messages$/,
];

/**
 * A database in memory. It throws for a query that goes through a large table, or sorts what waits in a lane, so that
 * a missing index fails every test that would need it.
 */
export function memorySql(): Sql {
  const database = new DatabaseSync(":memory:");
  const statements = new Map<string, StatementSync>();
  return (query, ...bindings) => {
    const known = statements.get(query);
    const statement = known ?? database.prepare(query);
    if (known === undefined) refuseScans(database, query, bindings);
    statements.set(query, statement);
    return statement.all(...bindings).map(plain);
  };
}

function refuseScans(database: DatabaseSync, query: string, bindings: readonly SqlValue[]): void {
  const text = query.replaceAll(/\s+/g, " ").trim();
  if (!/^(SELECT|INSERT|REPLACE|UPDATE|DELETE|WITH) /.test(text) || ALLOWED.some((allowed) => allowed.test(text)))
    return;
  const plan = database.prepare(`EXPLAIN QUERY PLAN ${query}`).all(...bindings);
  const details = plan.map(({ detail }) => String(detail));
  const scan = details.find((detail) => LARGE.test(detail));
  if (scan !== undefined) throw new Error(`a query goes through a whole table (${scan}): ${text}`);
  const sort = details.find((detail) => SORT.test(detail));
  if (sort !== undefined && details.some((detail) => SEARCHED.test(detail)))
    throw new Error(`a query sorts what it found of a large table (${sort}): ${text}`);
}

/** The row as the runtime gives it: an object like any other. */
function plain(row: Record<string, SQLOutputValue>): SqlRow {
  const copy: Record<string, SqlValue> = {};
  for (const name of Object.keys(row)) {
    const value = row[name];
    if (value !== null && typeof value !== "string" && typeof value !== "number")
      throw new Error(`the column ${name} holds neither text, number nor null`);
    copy[name] = value;
  }
  return copy;
}

/** A database whose rows take 2 MB, as those of a deployed object do. */
export function smallRowsSql(): Sql {
  const sql = memorySql();
  const utf8 = new TextEncoder();
  return (query, ...bindings) => {
    const bytes = bindings.reduce<number>((sum, value) => sum + utf8.encode(String(value)).byteLength, 0);
    if (bytes > 2_000_000) throw new Error("string or blob too big: SQLITE_TOOBIG");
    return sql(query, ...bindings);
  };
}
