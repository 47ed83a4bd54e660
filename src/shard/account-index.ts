/**
 * The index of one account's predictions, newest first: what lists page through. The shards feed it, at least once; it
 * holds ids, times and what lists are narrowed by, and forgets them when their retention has ended. Since each entry
 * counts once, it also knows how often the account ran each version, and tells the registry some seconds later.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { addColumn, openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import { recordRuns } from "../registry/runs.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { FeedEntry } from "./outgoing.ts";
import { objectSql } from "./object-sql.ts";
import type { Sql } from "./sql.ts";
import type { IndexPage, IndexRequest } from "./types.ts";

/**
 * The shards remove an entry when its prediction's retention has ended. What they should miss goes when no prediction
 * can be that old.
 */
const KEEP_MS = 45 * 86_400_000;
/** After so many new entries, twice as many that are too old go. */
const SWEEP_AFTER = 1000;
/** Entries that one page looks through for those that fit. */
const SCANNED_ENTRIES = 10_000;
/** How long runs are gathered before the registry is told. */
const REPORT_MS = 10_000;

const tables = [
  `CREATE TABLE IF NOT EXISTS entry (
     created_at INTEGER NOT NULL, id TEXT NOT NULL, model TEXT, version TEXT, deployment TEXT, source TEXT,
     PRIMARY KEY (created_at, id)
   ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS run (
     model TEXT NOT NULL, version TEXT NOT NULL, account_id TEXT NOT NULL, count INTEGER NOT NULL, reported INTEGER NOT NULL,
     PRIMARY KEY (model, version)
   ) WITHOUT ROWID`,
];
/** What entries had not at first. */
const laterColumns = ["model", "version", "deployment", "source"];

export const indexSchema: Schema = {
  name: "index of an account",
  steps: [
    {
      up(sql) {
        for (const table of tables) sql(table);
        for (const column of laterColumns) addColumn(sql, "entry", column, "TEXT");
      },
    },
  ],
};

export class AccountIndex extends DurableObject<Env> {
  readonly #sql: Sql;
  #fed = 0;
  #reportAt: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = objectSql(ctx.storage);
    openSchema(this.#sql, indexSchema);
  }

  feed(accountId: string, entries: FeedEntry[]): void {
    const fresh = this.#sql(
      `INSERT OR IGNORE INTO entry (created_at, id, model, version, deployment, source)
       SELECT value ->> 'createdAt', value ->> 'id', value ->> 'model', value ->> 'version', value ->> 'deployment', value ->> 'source'
       FROM json_each(?) RETURNING model, version`,
      JSON.stringify(entries),
    );
    for (const [key, rows] of Map.groupBy(fresh, ({ model, version }) => `${String(model)}:${String(version)}`)) {
      const [model = "", version = ""] = key.split(":");
      this.#sql(
        "INSERT INTO run VALUES (?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        model,
        version,
        accountId,
        rows.length,
      );
    }
    if (fresh.length > 0) this.#reportSoon();
    this.#fed += entries.length;
    if (this.#fed > SWEEP_AFTER) {
      this.#fed = 0;
      this.#sql(
        `DELETE FROM entry WHERE (created_at, id) IN
           (SELECT created_at, id FROM entry WHERE created_at < ? ORDER BY created_at, id LIMIT ?)`,
        Date.now() - KEEP_MS,
        2 * SWEEP_AFTER,
      );
    }
  }

  /** The retention of these has ended. */
  remove(entries: { id: string; createdAt: number }[]): void {
    this.#sql(
      "DELETE FROM entry WHERE (created_at, id) IN (SELECT value ->> 'createdAt', value ->> 'id' FROM json_each(?))",
      JSON.stringify(entries),
    );
  }

  /**
   * The entries before (`older`) or after (`newer`) a place that fit; those nearest to the place, newest first in any
   * case.
   */
  page(request: IndexRequest): IndexPage {
    const { direction, limit } = request;
    const older = direction === "older";
    const from = request.from ?? (older ? { createdAt: Number.MAX_SAFE_INTEGER, id: "" } : { createdAt: -1, id: "" });
    const order = older ? "created_at DESC, id DESC" : "created_at ASC, id ASC";
    const isNarrowed = [request.model, request.version, request.deployment, request.source].some((by) => by !== null);
    const scanned = isNarrowed ? SCANNED_ENTRIES : limit + 1;
    const near = this.#sql(
      `SELECT *, (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR version = ?6) AND (?7 IS NULL OR deployment = ?7)
           AND (?8 IS NULL OR source = ?8) AS fits
       FROM (SELECT * FROM entry WHERE (created_at, id) ${older ? "<" : ">"} (?1, ?2) AND created_at >= ?3 AND created_at < ?4
             ORDER BY ${order} LIMIT ?9)`,
      from.createdAt,
      from.id,
      request.createdAfter ?? 0,
      request.createdBefore ?? Number.MAX_SAFE_INTEGER,
      request.model,
      request.version,
      request.deployment,
      request.source,
      scanned,
    );
    const fitting = near.flatMap((row, index) => (row["fits"] === 1 ? [{ row, index }] : []));
    const taken = fitting.slice(0, limit);
    const isCut = fitting.length > limit || near.length === scanned;
    const lastIndex = fitting.length > limit ? (taken.at(-1)?.index ?? -1) : near.length - 1;
    const last = near[lastIndex];
    const entries = taken.map(({ row }) => placeOf(row));
    return {
      entries: older ? entries : entries.toReversed(),
      more: isCut,
      reached: last === undefined ? null : placeOf(last),
    };
  }

  override async alarm(): Promise<void> {
    this.#reportAt = null;
    const runs = this.#sql("SELECT * FROM run WHERE count > reported LIMIT 500");
    if (runs.length === 0) return;
    this.#reportSoon();
    try {
      await recordRuns(
        this.env.DB,
        runs.map((row) => ({
          model: String(row["model"]),
          version: String(row["version"]),
          accountId: String(row["account_id"]),
          count: Number(row["count"]),
        })),
      );
    } catch (thrown) {
      log.warn("runs_not_recorded", { reason: reasonOf(thrown) });
      return;
    }
    for (const row of runs) {
      this.#sql(
        "UPDATE run SET reported = ? WHERE model = ? AND version = ?",
        row["count"] ?? 0,
        row["model"] ?? "",
        row["version"] ?? "",
      );
    }
    if (this.#sql("SELECT 1 FROM run WHERE count > reported LIMIT 1").length > 0) return;
    this.#reportAt = null;
    await this.ctx.storage.deleteAlarm();
  }

  #reportSoon(): void {
    if (this.#reportAt !== null && this.#reportAt > Date.now()) return;
    this.#reportAt = Date.now() + REPORT_MS;
    void this.ctx.storage.setAlarm(this.#reportAt);
  }
}

function placeOf(row: Record<string, unknown>): { id: string; createdAt: number } {
  return { createdAt: Number(row["created_at"]), id: String(row["id"]) };
}
