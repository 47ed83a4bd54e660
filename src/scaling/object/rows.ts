/** What the scaler stores: a row a machine, a row a minute in which predictions arrived, and what it has learned. */
import * as z from "zod";
import { openSchema } from "../../object-schema.ts";
import type { Schema } from "../../object-schema.ts";
import type { Sql } from "../../shard/sql.ts";
import { DoubtSchema } from "./clock.ts";
import { HomesSchema } from "./homes.ts";
import { LastRentsSchema, withRented } from "./last-rents.ts";
import type { Rented } from "./last-rents.ts";
import type { Memory } from "../memory.ts";
import { LearnedSchema } from "./learned.ts";
import { OVERALL_MAX_VERSIONS } from "./limits.ts";
import { MemorySchema } from "./memory-schema.ts";
import { MachineSchema } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { WaitingSchema } from "./rent-records.ts";
import { ProvenSchema, SickSchema } from "./sickness.ts";
import { LossesSchema } from "./spot-losses.ts";
import { LedgerSchema } from "./purse.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export const scalerSchema: Schema = {
  name: "scaler",
  steps: [
    {
      up: (sql) => {
        sql("CREATE TABLE IF NOT EXISTS machines (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
        sql("CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
        sql("CREATE TABLE IF NOT EXISTS arrivals (minute INTEGER PRIMARY KEY, value TEXT NOT NULL)");
      },
    },
    {
      isAdded: true,
      up: (sql) =>
        sql(
          `CREATE TABLE IF NOT EXISTS policies
             (key TEXT PRIMARY KEY, saved_at INTEGER NOT NULL, prewarms INTEGER NOT NULL, value TEXT NOT NULL)
           WITHOUT ROWID`,
        ),
    },
  ],
};

/**
 * `lanes`: those that told of what waits, so that a scaler that starts again can ask them; `putOff`: those that were
 * told to ask rarely.
 */
const kept = {
  learned: LearnedSchema,
  sick: SickSchema,
  proven: ProvenSchema,
  ledger: LedgerSchema,
  homes: HomesSchema,
  losses: LossesSchema,
  lanes: z.array(z.string()),
  putOff: z.array(z.string()),
  unmetered: WaitingSchema,
  rents: LastRentsSchema,
  clock: DoubtSchema,
} as const;
type Kept = typeof kept;

/** Arrivals by version: seconds of the minute, and how many in each. */
const MinuteSchema = z.record(z.string(), z.array(z.tuple([z.number(), z.number()])));
export type Minute = { minute: number; versions: z.output<typeof MinuteSchema> };

export class ScalerStore {
  readonly #sql: Sql;
  #isOpen: boolean;
  #minute: Minute | null = null;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#isOpen = sql("SELECT 1 FROM sqlite_master WHERE name = 'machines'").length > 0;
  }

  machines(): Machine[] {
    if (!this.#isOpen) return [];
    return this.#sql("SELECT value FROM machines").map(({ value }) => MachineSchema.parse(JSON.parse(String(value))));
  }

  saveMachine(machine: Machine): void {
    this.#open();
    this.#sql("INSERT OR REPLACE INTO machines VALUES (?, ?)", machine.id, JSON.stringify(machine));
  }

  removeMachine(id: string): void {
    this.#open();
    this.#sql("DELETE FROM machines WHERE id = ?", id);
  }

  read<Name extends keyof Kept>(name: Name): z.output<Kept[Name]> | null {
    if (!this.#isOpen) return null;
    const [row] = this.#sql("SELECT value FROM kept WHERE name = ?", name);
    if (row === undefined) return null;
    return kept[name].parse(JSON.parse(String(row["value"]))) as z.output<Kept[Name]>;
  }

  write<Name extends keyof Kept>(name: Name, value: z.output<Kept[Name]>): void {
    this.#open();
    this.#sql("INSERT OR REPLACE INTO kept VALUES (?, ?)", name, JSON.stringify(value));
  }

  /** Keeps what machines of its class cost now, if that is new. */
  rented(currency: string, machine: Rented): void {
    const known = this.read("rents");
    const rents = withRented(known, currency, machine);
    if (rents !== known) this.write("rents", rents);
  }

  /** What the version's policy has learned; null: nothing that this code can read. */
  memory(key: string): Memory | null {
    if (!this.#isOpen) return null;
    return memoryIn(this.#sql("SELECT value FROM policies WHERE key = ?", key));
  }

  /** The same of the model's version that was stored last. */
  memoryOfModel(model: string): Memory | null {
    if (!this.#isOpen) return null;
    const latest = "SELECT value FROM policies WHERE key >= ? AND key < ? ORDER BY saved_at DESC LIMIT 1";
    return memoryIn(this.#sql(latest, `${model} `, `${model}!`));
  }

  /** Versions whose policies want machines before anything comes. */
  prewarming(): string[] {
    if (!this.#isOpen) return [];
    return this.#sql("SELECT key FROM policies WHERE prewarms = 1 LIMIT ?", OVERALL_MAX_VERSIONS).map(({ key }) =>
      String(key),
    );
  }

  /** The row that was written longest ago makes room. */
  saveMemory(key: string, memory: Memory, { atMs, prewarms }: { atMs: number; prewarms: boolean }): void {
    this.#open();
    const isNew = this.#sql("SELECT 1 FROM policies WHERE key = ?", key).length === 0;
    const value = JSON.stringify(memory);
    this.#sql("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?)", key, atMs, Number(prewarms), value);
    if (!isNew) return;
    this.#sql(
      "DELETE FROM policies WHERE key IN (SELECT key FROM policies ORDER BY saved_at DESC LIMIT -1 OFFSET ?)",
      OVERALL_MAX_VERSIONS,
    );
  }

  /** So many predictions of a version arrived; they are stored with their minute. */
  arrived(key: string, atMs: number, count: number): void {
    const minute = Math.floor(atMs / MINUTE_MS);
    if (this.#minute !== null && this.#minute.minute !== minute) this.flush(atMs);
    this.#minute ??= { minute, versions: {} };
    const seconds = (this.#minute.versions[key] ??= []);
    seconds.push([Math.round((atMs % MINUTE_MS) / 100) / 10, count]);
  }

  /** Stores the minute that is over. */
  flush(nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (this.#minute === null || this.#minute.minute === minute) return;
    this.#open();
    this.#sql(
      "INSERT OR REPLACE INTO arrivals VALUES (?, ?)",
      this.#minute.minute,
      JSON.stringify(this.#minute.versions),
    );
    this.#sql("DELETE FROM arrivals WHERE minute < ?", minute - DAY_MS / MINUTE_MS);
    this.#minute = null;
  }

  /** The last day's, oldest first. */
  arrivals(nowMs: number): Minute[] {
    if (!this.#isOpen) return this.#minute === null ? [] : [this.#minute];
    const from = Math.floor((nowMs - DAY_MS) / MINUTE_MS);
    const stored = this.#sql("SELECT minute, value FROM arrivals WHERE minute >= ? ORDER BY minute", from).map(
      ({ minute, value }) => ({ minute: Number(minute), versions: MinuteSchema.parse(JSON.parse(String(value))) }),
    );
    return this.#minute === null ? stored : [...stored, this.#minute];
  }

  #open(): void {
    if (this.#isOpen) return;
    openSchema(this.#sql, scalerSchema);
    this.#isOpen = true;
  }
}

function memoryIn([row]: readonly Record<string, unknown>[]): Memory | null {
  return row === undefined ? null : (MemorySchema.safeParse(JSON.parse(String(row["value"]))).data ?? null);
}
