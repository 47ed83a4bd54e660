/**
 * What the meter of one account stores: sums by hour and by day, how far each sequence of records was taken, and the
 * records that are still to leave. Bounded per account: `MAX_GROUPS` groups an hour and a day; those beyond are one.
 * Bounded per pool token: `MAX_SESSIONS` of them, as sessions are names that pools make up.
 */
import type { Schema } from "../object-schema.ts";
import type { Sql } from "../shard/sql.ts";
import { DAY_MS, dayOf, hourOf, keptFrom } from "./calendar.ts";
import type { MeterRecord } from "./record.ts";
import { addSums, dimensionsOf, noSums, OTHERS, sumsOf } from "./sums.ts";
import type { DaySums, Dimensions, Sums } from "./sums.ts";

export const MAX_GROUPS = 500;
/** Groups a day of all accounts together. */
const MAX_TOTALS = 5000;
/** Of the records in one row; a row takes 2 MB, and a character up to 3 bytes. */
const MAX_ROW_CHARS = 512 * 1024;
/** Rows that go in one call. */
const SWEPT_ROWS = 500;
/**
 * After so long without a record a pool session is forgotten, and what its token's devices may still have had. Of one
 * pool token there are so many sessions.
 */
const SESSION_KEPT_MS = 45 * DAY_MS;
export const MAX_SESSIONS = 1000;
const SHARD = /^shard-\d+$/;

const tables = [
  `CREATE TABLE IF NOT EXISTS sums (
     span TEXT NOT NULL, at INTEGER NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, device TEXT NOT NULL,
     deployment TEXT NOT NULL, phase TEXT NOT NULL, currency TEXT NOT NULL,
     requests INTEGER NOT NULL, billed INTEGER NOT NULL, queued_ms INTEGER NOT NULL, run_ms INTEGER NOT NULL,
     gpu_us INTEGER NOT NULL, instance_us INTEGER NOT NULL, cost_nano INTEGER NOT NULL, units TEXT NOT NULL,
     PRIMARY KEY (span, at, model, key, device, deployment, phase, currency)
   ) WITHOUT ROWID`,
  // One row has all shards: what comes of many of them at once is one write.
  "CREATE TABLE IF NOT EXISTS shards (one INTEGER PRIMARY KEY CHECK (one = 1), highest TEXT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS session (name TEXT PRIMARY KEY, highest INTEGER NOT NULL, seen_at INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS raw (n INTEGER PRIMARY KEY, month TEXT NOT NULL, lines TEXT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
];

/** Of each pool session: who is charged for what it told last, one for each number from `first` on. */
const decidedTable = `CREATE TABLE IF NOT EXISTS decided (
  name TEXT PRIMARY KEY, first INTEGER NOT NULL, charged TEXT NOT NULL, seen_at INTEGER NOT NULL
) WITHOUT ROWID`;

export const meterSchema: Schema = {
  name: "usage meter",
  steps: [
    {
      up(sql) {
        for (const table of tables) sql(table);
      },
    },
    { isAdded: true, up: (sql) => sql(decidedTable) },
  ],
};

/** Records as lines of JSON, in the order in which they were taken; all of one month. */
export type RawRow = { n: number; month: string; lines: string };
/** Begins the name of a note of what a pool token's devices may still have had; the note begins with its time. */
export const DEVICE_TIME = "device time of ";
/** `storing`: up to which row the object goes that is being stored. */
export type NoteName =
  | ("account" | "next_raw" | "published" | "first_open" | "storing")
  | `${typeof DEVICE_TIME}${string}`;

export type MeterRows = ReturnType<typeof createMeterRows>;

export function createMeterRows(sql: Sql) {
  const groupColumns = "model, key, device, deployment, phase, currency";

  function note(name: NoteName): string | null {
    const [row] = sql("SELECT value FROM note WHERE name = ?", name);
    return row === undefined ? null : String(row["value"]);
  }

  function setNote(name: NoteName, value: string | number): void {
    sql("INSERT OR REPLACE INTO note VALUES (?, ?)", name, String(value));
  }

  function read(span: string, at: number, group: Dimensions): Sums | null {
    const [row] = sql(
      `SELECT requests, billed, queued_ms, run_ms, gpu_us, instance_us, cost_nano, units FROM sums
       WHERE span = ? AND at = ? AND model = ? AND key = ? AND device = ? AND deployment = ? AND phase = ? AND currency = ?`,
      ...[span, at, ...valuesOf(group)],
    );
    if (row === undefined) return null;
    const number = (name: string) => Number(row[name]);
    return {
      ...{ requests: number("requests"), billed: number("billed"), queuedMs: number("queued_ms") },
      ...{ runMs: number("run_ms"), gpuUs: number("gpu_us"), instanceUs: number("instance_us") },
      ...{ costNano: number("cost_nano"), units: JSON.parse(String(row["units"])) as Record<string, number> },
    };
  }

  function isFull(span: string, at: number, maxGroups: number): boolean {
    const [row] = sql("SELECT count(*) AS groups FROM sums WHERE span = ? AND at = ?", span, at);
    return Number(row?.["groups"] ?? 0) >= maxGroups;
  }

  function add(span: string, at: number, group: Dimensions, fresh: Sums, maxGroups = MAX_GROUPS): void {
    const known = read(span, at, group);
    const isOther = group.model === OTHERS;
    if (known === null && !isOther && isFull(span, at, maxGroups)) {
      add(span, at, { ...group, model: OTHERS, key: OTHERS, device: OTHERS, deployment: "" }, fresh, maxGroups);
      return;
    }
    const sums = known ?? noSums();
    addSums(sums, fresh);
    sql(
      `INSERT OR REPLACE INTO sums (span, at, ${groupColumns}, requests, billed, queued_ms, run_ms, gpu_us, instance_us, cost_nano, units)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[span, at, ...valuesOf(group), sums.requests, sums.billed, sums.queuedMs, sums.runMs],
      ...[sums.gpuUs, sums.instanceUs, sums.costNano, JSON.stringify(sums.units)],
    );
  }

  function addAll(records: readonly MeterRecord[]): void {
    const groups = new Map<string, { span: string; at: number; group: Dimensions; sums: Sums }>();
    for (const record of records) {
      const group = dimensionsOf(record);
      for (const [span, at] of [["h", hourOf(record.at)] as const, ["d", dayOf(record.at)] as const]) {
        const key = JSON.stringify([span, at, ...valuesOf(group)]);
        const one = groups.get(key) ?? { span, at, group, sums: noSums() };
        addSums(one.sums, sumsOf(record));
        groups.set(key, one);
      }
    }
    for (const { span, at, group, sums } of groups.values()) add(span, at, group, sums);
  }

  function addRaw(month: string, lines: readonly string[], now: number): void {
    // Follows the clock: what is put back from a backup, or begins anew after all was forgotten, uses no number again.
    let n = Math.max(Number(note("next_raw") ?? 1), now);
    let part: string[] = [];
    let chars = 0;
    const write = () => {
      if (part.length === 0) return;
      sql("INSERT INTO raw VALUES (?, ?, ?)", n, month, `${part.join("\n")}\n`);
      n += 1;
      part = [];
      chars = 0;
    };
    for (const line of lines) {
      if (chars + line.length > MAX_ROW_CHARS) write();
      part.push(line);
      chars += line.length;
    }
    write();
    setNote("next_raw", n);
  }

  /** Of the sessions that a pool token has named; a session that is forgotten can only count twice for that token. */
  function forgetOldest(source: string, table: "session" | "decided" = "session"): void {
    const token = source.split(" ", 2).join(" ");
    sql(
      `DELETE FROM ${table} WHERE name IN
         (SELECT name FROM ${table} WHERE name >= ? AND name < ?
            ORDER BY seen_at DESC, name LIMIT -1 OFFSET ${MAX_SESSIONS})`,
      `${token} `,
      `${token}!`,
    );
  }

  return {
    note,
    setNote,
    /** Adds records to the sums of their hour and their day. */
    addAll,
    /** Adds what other meters tell; their groups are many accounts' together. */
    addTotals(totals: readonly DaySums[]): void {
      for (const { at, group, sums } of totals) add("d", at, group, sums, MAX_TOTALS);
    },
    /** Keeps records until they have left. */
    addRaw,

    /** The highest numbers that were taken, by sequence. */
    highest(sources: readonly string[]): Map<string, number> {
      const [row] = sql("SELECT highest FROM shards");
      const shards = row === undefined ? {} : (JSON.parse(String(row["highest"])) as Record<string, number>);
      return new Map(
        sources.map((source) => {
          if (SHARD.test(source)) return [source, shards[source] ?? 0];
          const [session] = sql("SELECT highest FROM session WHERE name = ?", source);
          return [source, session === undefined ? -1 : Number(session["highest"])];
        }),
      );
    },

    setHighest(highest: ReadonlyMap<string, number>, now: number): void {
      const shards = [...highest].filter(([source]) => SHARD.test(source));
      if (shards.length > 0) {
        const [row] = sql("SELECT highest FROM shards");
        const known = row === undefined ? {} : (JSON.parse(String(row["highest"])) as Record<string, number>);
        sql("INSERT OR REPLACE INTO shards VALUES (1, ?)", JSON.stringify({ ...known, ...Object.fromEntries(shards) }));
      }
      for (const [source, n] of highest) {
        if (SHARD.test(source)) continue;
        const isNew = sql("SELECT 1 FROM session WHERE name = ?", source).length === 0;
        sql("INSERT OR REPLACE INTO session VALUES (?, ?, ?)", source, n, now);
        if (isNew) forgetOldest(source);
      }
    },

    /**
     * Who is charged for what a session tells from number `first` on: as was decided when it told that first. A session
     * tells the same again until it is taken, so that its last decision is enough.
     */
    decide<Charge>(source: string, first: number, wished: readonly Charge[], now: number): Charge[] {
      const [row] = sql("SELECT first, charged FROM decided WHERE name = ?", source);
      const known = row?.["first"] === first ? (JSON.parse(String(row["charged"])) as Charge[]) : [];
      const charged = [...known.slice(0, wished.length), ...wished.slice(known.length)];
      if (known.length >= wished.length) return charged;
      sql("INSERT OR REPLACE INTO decided VALUES (?, ?, ?, ?)", source, first, JSON.stringify(charged), now);
      if (row === undefined) forgetOldest(source, "decided");
      return charged;
    },

    /** The first rows from `n` on whose records have `maxChars` together at most, one at least. */
    raw(from: number, maxChars: number): RawRow[] {
      const rows: RawRow[] = [];
      let chars = 0;
      for (let next = from; ;) {
        const [row] = sql("SELECT n, month, lines FROM raw WHERE n >= ? ORDER BY n LIMIT 1", next);
        if (row === undefined) return rows;
        const one = { n: Number(row["n"]), month: String(row["month"]), lines: String(row["lines"]) };
        chars += one.lines.length;
        if (rows.length > 0 && chars > maxChars) return rows;
        rows.push(one);
        next = one.n + 1;
      }
    },

    /** How much waits to be stored as an object, about. */
    rawChars(): number {
      const [row] = sql("SELECT coalesce(sum(length(lines)), 0) AS chars FROM raw");
      return Number(row?.["chars"] ?? 0);
    },

    removeRaw(upTo: number): void {
      sql("DELETE FROM raw WHERE n <= ?", upTo);
    },

    /** Some of what is no longer kept goes; whether there may be more. */
    sweep(now: number): boolean {
      const { hours, days } = keptFrom(now);
      let isMore = false;
      for (const [span, before] of [["h", hours] as const, ["d", days] as const]) {
        const gone = sql(
          `DELETE FROM sums WHERE (span, at, ${groupColumns}) IN
             (SELECT span, at, ${groupColumns} FROM sums WHERE span = ? AND at < ? LIMIT ?) RETURNING 1`,
          span,
          before,
          SWEPT_ROWS,
        );
        isMore ||= gone.length >= SWEPT_ROWS;
      }
      for (const table of ["session", "decided"] as const) {
        const gone = sql(
          `DELETE FROM ${table} WHERE name IN (SELECT name FROM ${table} WHERE seen_at < ? LIMIT ?) RETURNING 1`,
          now - SESSION_KEPT_MS,
          SWEPT_ROWS,
        );
        isMore ||= gone.length >= SWEPT_ROWS;
      }
      // Machines have a token each.
      const tokens = sql(
        `DELETE FROM note WHERE name IN (SELECT name FROM note WHERE name >= ? AND name < ?
           AND CAST(value AS INTEGER) < ? LIMIT ?) RETURNING 1`,
        ...[DEVICE_TIME, `${DEVICE_TIME.trimEnd()}!`, now - SESSION_KEPT_MS, SWEPT_ROWS],
      );
      return isMore || tokens.length >= SWEPT_ROWS;
    },

    hasRaw: (): boolean => sql("SELECT 1 FROM raw LIMIT 1").length > 0,

    /** Whether nothing is left that sums or records tell of, or that was decided. */
    isEmpty: (): boolean =>
      ["sums", "raw", "decided"].every((table) => sql(`SELECT 1 FROM ${table} LIMIT 1`).length === 0),
  };
}

function valuesOf({ model, key, device, deployment, phase, currency }: Dimensions): string[] {
  return [model, key, device, deployment, phase, currency];
}
