/**
 * What a sender remembers besides messages: URLs that want no more, predictions whose data is gone, and the accounts'
 * breakers.
 */
import { openSchema } from "../object-schema.ts";
import type { Sql } from "../shard/sql.ts";
import type { Breaker } from "./breaker.ts";
import { webhookSchema } from "./schema.ts";

/** Rows that one pruning looks at; the next goes on behind them. */
const PRUNED_ROWS = 1000;
/** Disabled URLs that are remembered of an account; the oldest make room. */
export const MAX_DISABLED_URLS = 1000;

export function createNotes(sql: Sql) {
  openSchema(sql, webhookSchema);
  /** Where the next prunings go on. */
  const forgottenTo = { id: "" };
  const disabledTo = { account: "", url: "" };

  return {
    /** A prediction's unfinished messages are erased when they have ended; with `dropped`, no more are taken. */
    forget(predictionId: string, now: number, dropped: boolean): void {
      sql("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)", predictionId, now, dropped ? 1 : 0);
    },

    isDropped(predictionId: string): boolean {
      return sql("SELECT 1 FROM forgotten WHERE prediction_id = ? AND dropped = 1", predictionId).length > 0;
    },

    /** Of the next rows, those from before `before` go. */
    pruneForgotten(before: number): void {
      const rows = sql(
        "SELECT prediction_id AS id, at FROM forgotten WHERE prediction_id > ? ORDER BY prediction_id LIMIT ?",
        forgottenTo.id,
        PRUNED_ROWS,
      );
      forgottenTo.id = rows.length < PRUNED_ROWS ? "" : String(rows.at(-1)?.["id"]);
      const old = rows.filter(({ at }) => Number(at) < before).map(({ id }) => id);
      if (old.length === 0) return;
      sql("DELETE FROM forgotten WHERE prediction_id IN (SELECT value FROM json_each(?))", JSON.stringify(old));
    },

    disable(accountId: string, url: string, now: number): void {
      sql("INSERT OR REPLACE INTO disabled VALUES (?, ?, ?)", accountId, url, now);
      sql(
        `DELETE FROM disabled WHERE account_id = ? AND url IN (
           SELECT url FROM disabled WHERE account_id = ? ORDER BY at DESC, url LIMIT -1 OFFSET ?)`,
        accountId,
        accountId,
        MAX_DISABLED_URLS,
      );
    },

    enable(accountId: string, url: string): void {
      sql("DELETE FROM disabled WHERE account_id = ? AND url = ?", accountId, url);
    },

    isDisabled(accountId: string, url: string): boolean {
      return sql("SELECT 1 AS yes FROM disabled WHERE account_id = ? AND url = ?", accountId, url).length > 0;
    },

    /** Of the next URLs, forgets those that were disabled before `before`. */
    pruneDisabled(before: number): void {
      const rows = sql(
        "SELECT * FROM disabled WHERE (account_id, url) > (?, ?) ORDER BY account_id, url LIMIT ?",
        disabledTo.account,
        disabledTo.url,
        PRUNED_ROWS,
      );
      const last = rows.length < PRUNED_ROWS ? undefined : rows.at(-1);
      disabledTo.account = String(last?.["account_id"] ?? "");
      disabledTo.url = String(last?.["url"] ?? "");
      const old = rows.filter(({ at }) => Number(at) < before);
      if (old.length === 0) return;
      sql(
        `DELETE FROM disabled WHERE (account_id, url) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))`,
        JSON.stringify(old.map((row) => [row["account_id"], row["url"]])),
      );
    },

    /** The breakers that are not closed, by account. */
    breakers(): [string, Breaker][] {
      const rows = sql("SELECT account_id, failures, openings, open_until FROM breakers");
      return rows.map((row) => [
        String(row["account_id"]),
        {
          failures: Number(row["failures"]),
          openings: Number(row["openings"]),
          openUntil: Number(row["open_until"]),
        },
      ]);
    },

    saveBreaker(accountId: string, { failures, openings, openUntil }: Breaker): void {
      if (openings === 0) sql("DELETE FROM breakers WHERE account_id = ?", accountId);
      else sql("INSERT OR REPLACE INTO breakers VALUES (?, ?, ?, ?)", accountId, failures, openings, openUntil);
    },
  };
}
