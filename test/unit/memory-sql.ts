/** Stored state on node:sqlite in memory: what the cores run on in tests, at thousands of interleavings a second. */
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import type { Sql, SqlRow } from "../../src/shard/sql.ts";

export function memorySql(): Sql {
  const database = new DatabaseSync(":memory:");
  const statements = new Map<string, StatementSync>();
  return (query, ...bindings) => {
    const statement = statements.get(query) ?? database.prepare(query);
    statements.set(query, statement);
    return statement.all(...bindings).map((row): SqlRow => Object.fromEntries(Object.entries(row).map(plain)));
  };
}

function plain([name, value]: [string, unknown]): [string, string | number | null] {
  if (value === null || typeof value === "string" || typeof value === "number") return [name, value];
  throw new Error(`the column ${name} holds neither text, number nor null`);
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
