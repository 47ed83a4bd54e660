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
