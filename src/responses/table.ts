/**
 * The outputs that are remembered for one account, within a bound: what expires first makes room. An entry is one row
 * and its place in the index of what expires: two row writes when it comes, and two when it goes.
 */
import * as z from "zod";
import type { Answer } from "../../plugins/kernel/phases.ts";
import { JsonSchema } from "../contract/prediction.ts";
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import type { Sql } from "../shard/sql.ts";

const TABLES = [
  "CREATE TABLE IF NOT EXISTS response (key TEXT PRIMARY KEY, expires INTEGER NOT NULL, bytes INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE INDEX IF NOT EXISTS response_expires ON response (expires, bytes)",
];

export const responsesSchema: Schema = {
  name: "memory of responses",
  steps: [{ up: (sql) => TABLES.forEach((table) => void sql(table)) }],
};
/** What an entry takes besides its value. */
const OVERHEAD_BYTES = 200;
const BATCH_ROWS = 500;

const AnswerSchema = z.object({ output: JsonSchema, yielded: z.boolean() }) satisfies z.ZodType<Answer>;

/** An output to be remembered: its text is the answer as JSON, `bytes` what that has. */
export type ResponseEntry = { key: string; text: string; bytes: number; ttlMs: number; accountBytes: number };

export type ResponseTable = ReturnType<typeof createResponseTable>;

export function createResponseTable(sql: Sql) {
  let hasSchema = sql("SELECT 1 FROM sqlite_master WHERE name = 'response'").length > 0;
  let bytes = hasSchema ? Number(sql("SELECT coalesce(sum(bytes), 0) AS sum FROM response")[0]?.["sum"]) : 0;

  function ensureSchema(): void {
    if (hasSchema) return;
    openSchema(sql, responsesSchema);
    hasSchema = true;
  }

  function remove(key: string, size: number): void {
    sql("DELETE FROM response WHERE key = ?", key);
    bytes -= size;
  }

  /** Makes room for as much as is beyond `most`. */
  function shrinkTo(most: number): void {
    while (bytes > most) {
      const first = sql("SELECT key, bytes FROM response ORDER BY expires LIMIT ?", BATCH_ROWS);
      if (first.length === 0) return;
      for (const row of first) if (bytes > most) remove(String(row["key"]), Number(row["bytes"]));
    }
  }

  return {
    find(key: string, now: number): Answer | null {
      if (!hasSchema) return null;
      const [row] = sql("SELECT value FROM response WHERE key = ? AND expires > ?", key, now);
      return row === undefined ? null : AnswerSchema.parse(JSON.parse(String(row["value"])));
    },

    put({ key, text, ttlMs, accountBytes, ...entry }: ResponseEntry, now: number): void {
      const size = entry.bytes + OVERHEAD_BYTES;
      if (size > accountBytes) return;
      ensureSchema();
      this.forget(key);
      shrinkTo(accountBytes - size);
      sql("INSERT INTO response VALUES (?, ?, ?, ?)", key, now + ttlMs, size, text);
      bytes += size;
    },

    forget(key: string): void {
      if (!hasSchema) return;
      const [row] = sql("SELECT bytes FROM response WHERE key = ?", key);
      if (row !== undefined) remove(key, Number(row["bytes"]));
    },

    /** Removes what is over; whether anything is left. */
    clean(now: number): boolean {
      if (!hasSchema) return false;
      for (;;) {
        const over = sql("SELECT key, bytes FROM response WHERE expires <= ? LIMIT ?", now, BATCH_ROWS);
        for (const row of over) remove(String(row["key"]), Number(row["bytes"]));
        if (over.length < BATCH_ROWS) return sql("SELECT 1 FROM response LIMIT 1").length > 0;
      }
    },

    /** All of the object's storage was deleted. */
    forgetSchema(): void {
      hasSchema = false;
      bytes = 0;
    },
  };
}
