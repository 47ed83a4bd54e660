import type { Sql, SqlRow } from "./sql.ts";

/** The SQL of a Durable Object. */
export function objectSql(storage: DurableObjectStorage): Sql {
  return (query, ...bindings) => storage.sql.exec<SqlRow>(query, ...bindings).toArray();
}
