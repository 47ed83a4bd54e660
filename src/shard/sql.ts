/** The one thing that stored state needs of its database: synchronous SQL. workerd and node:sqlite both give it. */
export type SqlValue = string | number | null;
export type SqlRow = Record<string, SqlValue>;
export type Sql = (query: string, ...bindings: SqlValue[]) => SqlRow[];

/** Whether the database refuses a text, or a row, because of its size. */
export function isTooBig(error: unknown): boolean {
  return /too big|TOOBIG/.test(String(error));
}
