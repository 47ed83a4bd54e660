/** What a ledger stores: an account of each bucket, what is reserved, what was paid in, and alerts that wait. */
import * as z from "zod";
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import type { Sql } from "../shard/sql.ts";

const TABLES = [
  "CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS held (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS paid (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS alert (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
];

export const ledgerSchema: Schema = {
  name: "ledger",
  steps: [{ up: (sql) => TABLES.forEach((table) => void sql(table)) }],
};

const AlertTargetSchema = z.object({
  url: z.string(),
  account: z.string(),
  of: z.string(),
  belowNano: z.number().optional(),
});

/**
 * `at`: when its period began. `settled`: what ended predictions cost in it. `paid`: what was paid in, of a balance.
 * `limit` and `alert` are what the last reservation said of them; `alerted`: the highest level that was told, which is
 * a share in percent, or one of a balance.
 */
const BucketSchema = z.object({
  at: z.number(),
  settled: z.number(),
  paid: z.number(),
  limit: z.number(),
  alerted: z.number(),
  alert: AlertTargetSchema.optional(),
});
export type Bucket = z.infer<typeof BucketSchema>;

/**
 * What one prediction may use, of each bucket. `isOver`: none of it is reserved any more, as its time was over before
 * anybody told how it ended, or as it ended with a cost that may still be corrected. `settled` is what counts of that.
 */
const HeldSchema = z.object({
  expiresAt: z.number(),
  charges: z.array(
    z.object({ bucket: z.string(), at: z.number(), amount: z.number(), settled: z.number().optional() }),
  ),
  isOver: z.boolean().optional(),
});
export type Held = z.infer<typeof HeldSchema>;

const PaidSchema = z.object({ bucket: z.string(), nano: z.number(), at: z.number(), why: z.string() });
export type Paid = z.infer<typeof PaidSchema>;

/** A message that its sender has not got yet. */
const AlertSchema = z.object({ url: z.string(), account: z.string(), body: z.string(), at: z.number() });
export type Alert = z.infer<typeof AlertSchema>;

export type LedgerRows = ReturnType<typeof createLedgerRows>;

export function createLedgerRows(sql: Sql) {
  let hasSchema = false;

  function open(): Sql {
    if (!hasSchema) openSchema(sql, ledgerSchema);
    hasSchema = true;
    return sql;
  }
  /** Nothing is made by a look. */
  const isMade = (): boolean => hasSchema || sql("SELECT 1 FROM sqlite_master WHERE name = 'bucket'").length > 0;
  const one = <T>(schema: z.ZodType<T>, query: string, key: string): T | null => {
    const [row] = isMade() ? open()(query, key) : [];
    return row === undefined ? null : schema.parse(JSON.parse(String(row["value"])));
  };
  const all = <T>(schema: z.ZodType<T>, query: string, key: string, ...bindings: string[]): [string, T][] =>
    (isMade() ? open()(query, ...bindings) : []).map((row) => [
      String(row[key]),
      schema.parse(JSON.parse(String(row["value"]))),
    ]);

  return {
    bucket: (name: string) => one(BucketSchema, "SELECT value FROM bucket WHERE name = ?", name),
    putBucket: (name: string, bucket: Bucket) =>
      void open()("INSERT OR REPLACE INTO bucket VALUES (?, ?)", name, JSON.stringify(bucket)),
    removeBucket: (name: string) => void (isMade() && open()("DELETE FROM bucket WHERE name = ?", name)),

    held: (id: string) => one(HeldSchema, "SELECT value FROM held WHERE id = ?", id),
    allHeld: () => all(HeldSchema, "SELECT id, value FROM held", "id"),
    putHeld: (id: string, held: Held) =>
      void open()("INSERT OR REPLACE INTO held VALUES (?, ?)", id, JSON.stringify(held)),
    removeHeld: (id: string) => void open()("DELETE FROM held WHERE id = ?", id),

    paid: (key: string) => one(PaidSchema, "SELECT value FROM paid WHERE key = ?", key),
    putPaid: (key: string, paid: Paid) => void open()("INSERT INTO paid VALUES (?, ?)", key, JSON.stringify(paid)),

    /** A page of them, behind the one of that id. */
    alerts: (after = "") =>
      all(AlertSchema, "SELECT id, value FROM alert WHERE id > ? ORDER BY id LIMIT 100", "id", after),
    putAlert: (id: string, alert: Alert) =>
      void open()("INSERT OR IGNORE INTO alert VALUES (?, ?)", id, JSON.stringify(alert)),
    removeAlert: (id: string) => void open()("DELETE FROM alert WHERE id = ?", id),
  };
}
