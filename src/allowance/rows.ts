/** What an allowance object stores: a row for each bucket, and its slots in a few rows. */
import * as z from "zod";
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import type { Sql } from "../shard/sql.ts";
import type { Stored, Written } from "./book.ts";
import type { Held } from "./slots.ts";

const TABLES = [
  "CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS slots (part INTEGER PRIMARY KEY, value TEXT NOT NULL)",
];

export const allowanceSchema: Schema = {
  name: "allowance",
  steps: [{ up: (sql) => TABLES.forEach((table) => void sql(table)) }],
};
/** A row holds 2 MB. */
const SLOTS_A_ROW = 5000;

const WindowSchema = z.object({ limit: z.number(), windowMs: z.number() });
const SpecSchema = z.union([
  WindowSchema.extend({ algorithm: z.enum(["fixed-window", "sliding-window"]) }),
  WindowSchema.extend({ algorithm: z.literal("token-bucket"), refill: z.number() }),
]);
const GiveBackSchema = z.object({ bucket: z.string(), spec: SpecSchema, at: z.number(), amount: z.number() });
const BucketSchema = z.object({
  spec: SpecSchema,
  counter: z.object({ at: z.number(), used: z.number(), before: z.number() }),
});
/** `names` are the buckets, each reservation names its own by their index: `[id, expiresAt, since, indexes, back]`. */
const SlotsSchema = z.object({
  names: z.array(z.string()),
  held: z.array(z.tuple([z.string(), z.number(), z.number(), z.array(z.number().int()), z.array(GiveBackSchema)])),
});

export type Rows = ReturnType<typeof createRows>;

export function createRows(sql: Sql) {
  let hasSchema = false;

  function ensureSchema(): void {
    if (hasSchema) return;
    openSchema(sql, allowanceSchema);
    hasSchema = true;
  }

  return {
    read(): Stored {
      if (sql("SELECT 1 FROM sqlite_master WHERE name = 'bucket'").length === 0) return { buckets: [], slots: [] };
      ensureSchema();
      const buckets = sql("SELECT * FROM bucket").map((row) => ({
        bucket: String(row["name"]),
        ...BucketSchema.parse(JSON.parse(String(row["value"]))),
      }));
      const slots = sql("SELECT * FROM slots").flatMap((row) => fromText(String(row["value"])));
      return { buckets, slots };
    },

    writeBuckets(rows: readonly Written[]): void {
      ensureSchema();
      for (const { bucket, spec, counter } of rows) {
        sql("INSERT OR REPLACE INTO bucket VALUES (?, ?)", bucket, JSON.stringify({ spec, counter }));
      }
    },

    writeSlots(slots: readonly [string, Held][]): void {
      ensureSchema();
      const parts = Math.ceil(slots.length / SLOTS_A_ROW);
      for (let part = 0; part < parts; part += 1) {
        const own = slots.slice(part * SLOTS_A_ROW, (part + 1) * SLOTS_A_ROW);
        sql("INSERT OR REPLACE INTO slots VALUES (?, ?)", part, toText(own));
      }
      sql("DELETE FROM slots WHERE part >= ?", parts);
    },

    remove(buckets: readonly string[]): void {
      for (const bucket of buckets) sql("DELETE FROM bucket WHERE name = ?", bucket);
    },

    /** The tables are about to go. */
    forgetSchema(): void {
      hasSchema = false;
    },
  };
}

function toText(slots: readonly [string, Held][]): string {
  const indexes = new Map<string, number>();
  const indexOf = (name: string): number => {
    const known = indexes.get(name) ?? indexes.size;
    indexes.set(name, known);
    return known;
  };
  const held = slots.map(([id, one]) => [id, one.expiresAt, one.since, one.buckets.map(indexOf), one.back]);
  return JSON.stringify({ names: [...indexes.keys()], held });
}

function fromText(text: string): [string, Held][] {
  const { names, held } = SlotsSchema.parse(JSON.parse(text));
  return held.map(([id, expiresAt, since, indexes, back]) => [
    id,
    { expiresAt, since, back, buckets: indexes.flatMap((index) => names[index] ?? []) },
  ]);
}
