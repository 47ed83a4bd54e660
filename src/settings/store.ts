/**
 * The settings that were ever published, numbered from 1. None is changed or removed: going back is publishing what an
 * earlier number had. The list is the audit log.
 */
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import type { Sql, SqlRow } from "../shard/sql.ts";
import type { Json } from "../contract/prediction.ts";
import { firstSettings } from "./schema.ts";
import type { KeptSettings, NumberedSettings } from "./schema.ts";
import { readStored } from "./stored.ts";

/** Who published, and why; `restores`: the number whose settings these are again. */
export type Publication = { number: number; at: number; by: string; why: string; restores: number | null };
export type NewPublication = Omit<Publication, "number">;

/** A row takes 2 MB; a character up to 3 bytes. */
const PART_CHARS = 500_000;

const tables = [
  "CREATE TABLE IF NOT EXISTS publication (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL, restores INTEGER)",
  "CREATE TABLE IF NOT EXISTS part (number INTEGER NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (number, part)) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
];

export const settingsSchema: Schema = {
  name: "store of settings",
  steps: [{ up: (sql) => tables.forEach((table) => void sql(table)) }],
};

export type SettingsTable = ReturnType<typeof createSettingsTable>;

export function createSettingsTable(sql: Sql) {
  openSchema(sql, settingsSchema);
  /** Every isolate asks for what was published last. */
  let lastRead: NumberedSettings | null = null;

  function current(): number {
    const [row] = sql("SELECT MAX(number) AS number FROM publication");
    return Number(row?.["number"] ?? 0);
  }

  return {
    /** The number that holds; 0 until anything is published. */
    current,

    /** Null: there is no such number. */
    read(number: number): NumberedSettings | null {
      if (number === 0) return firstSettings;
      if (lastRead?.number === number) return lastRead;
      const parts = sql("SELECT text FROM part WHERE number = ? ORDER BY part", number);
      if (parts.length === 0) return null;
      const text = parts.map((row) => String(row["text"])).join("");
      const { settings, ignored } = readStored(JSON.parse(text) as Json);
      lastRead = { number, settings, ...(ignored.length === 0 ? {} : { ignored }) };
      return lastRead;
    },

    publication(number: number): Publication | null {
      const [row] = sql("SELECT * FROM publication WHERE number = ?", number);
      return row === undefined ? null : publicationFrom(row);
    },

    /** The newest first, those before `before`. */
    list(before: number, limit: number): Publication[] {
      return sql("SELECT * FROM publication WHERE number < ? ORDER BY number DESC LIMIT ?", before, limit).map(
        publicationFrom,
      );
    },

    /** Null: the number that holds isn't `expected` any more. */
    publish(settings: KeptSettings, { at, by, why, restores }: NewPublication, expected: number | null): number | null {
      const before = current();
      if (expected !== null && expected !== before) return null;
      const number = before + 1;
      for (const [part, piece] of partsOf(JSON.stringify(settings)).entries())
        sql("INSERT INTO part VALUES (?, ?, ?)", number, part, piece);
      sql("INSERT INTO publication VALUES (?, ?, ?, ?, ?)", number, at, by, why, restores);
      return number;
    },

    /** Adds to what was counted under `name`, and returns the sum. */
    count(name: string, more: number): number {
      if (more > 0) {
        sql(
          "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
          name,
          more,
        );
      }
      const [row] = sql("SELECT value FROM counter WHERE name = ?", name);
      return Number(row?.["value"] ?? 0);
    },
  };
}

/** Half a character that is stored by itself comes back as U+FFFD: no part begins with a second half. */
function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length;) {
    const most = start + PART_CHARS;
    const end = /[\uDC00-\uDFFF]/.test(text.charAt(most)) ? most - 1 : most;
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

function publicationFrom(row: SqlRow): Publication {
  const restores = row["restores"] ?? null;
  return {
    number: Number(row["number"]),
    at: Number(row["at"]),
    by: String(row["by"]),
    why: String(row["why"]),
    restores: restores === null ? null : Number(restores),
  };
}
