/**
 * The index of one account's predictions, newest first: what lists page through. The shards feed it, at least once; it holds ids and
 * times only, and forgets them when their retention has ended.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import type { FeedEntry } from "./outgoing.ts";
import { objectSql } from "./sql.ts";
import type { Sql } from "./sql.ts";

/** The shards remove an entry when its prediction's retention has ended. What they should miss goes when no prediction can be that old. */
const KEEP_MS = 45 * 86_400_000;

export type IndexPage = { entries: FeedEntry[]; more: boolean };

export class AccountIndex extends DurableObject<Env> {
  readonly #sql: Sql;
  #fed = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = objectSql(ctx.storage);
    this.#sql(
      "CREATE TABLE IF NOT EXISTS entry (created_at INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (created_at, id)) WITHOUT ROWID",
    );
  }

  feed(entries: FeedEntry[]): void {
    this.#sql(
      "INSERT OR IGNORE INTO entry SELECT value ->> 'createdAt', value ->> 'id' FROM json_each(?)",
      JSON.stringify(entries),
    );
    this.#fed += entries.length;
    if (this.#fed > 1000) {
      this.#fed = 0;
      this.#sql("DELETE FROM entry WHERE created_at < ?", Date.now() - KEEP_MS);
    }
  }

  /** The retention of these has ended. */
  remove(entries: FeedEntry[]): void {
    this.#sql(
      "DELETE FROM entry WHERE (created_at, id) IN (SELECT value ->> 'createdAt', value ->> 'id' FROM json_each(?))",
      JSON.stringify(entries),
    );
  }

  /**
   * The entries before (`older`) or after (`newer`) a position, nearest first for `older`, and in list order (newest first) in any
   * case. `createdAfter` and `createdBefore` bound the list itself, in milliseconds since the epoch.
   */
  page(request: {
    direction: "older" | "newer";
    from: FeedEntry | null;
    limit: number;
    createdAfter: number | null;
    createdBefore: number | null;
  }): IndexPage {
    const { direction, limit } = request;
    const older = direction === "older";
    const from = request.from ?? (older ? { createdAt: Number.MAX_SAFE_INTEGER, id: "" } : { createdAt: -1, id: "" });
    const rows = this.#sql(
      `SELECT created_at, id FROM entry
       WHERE (created_at, id) ${older ? "<" : ">"} (?, ?) AND created_at >= ? AND created_at < ?
       ORDER BY created_at ${older ? "DESC" : "ASC"}, id ${older ? "DESC" : "ASC"} LIMIT ?`,
      from.createdAt,
      from.id,
      request.createdAfter ?? 0,
      request.createdBefore ?? Number.MAX_SAFE_INTEGER,
      limit + 1,
    );
    const entries = rows.map((row) => ({ createdAt: Number(row["created_at"]), id: String(row["id"]) }));
    const more = entries.length > limit;
    const page = entries.slice(0, limit);
    return { entries: older ? page : page.toReversed(), more };
  }
}
