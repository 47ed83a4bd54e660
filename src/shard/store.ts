/**
 * The shard's tables (schema.ts): predictions, the frames that streams replay, and webhooks that await their sender.
 */
import { openSchema } from "../object-schema.ts";
import { shardSchema } from "./schema.ts";
import type { Sql } from "./sql.ts";
import { isFinished } from "./row.ts";
import type { Outline, Row } from "./row.ts";
import { acceptedOf, changingOf, parse, rowFrom, stateFrom, text, textOf } from "./stored-row.ts";
import type { StreamFrame } from "./types.ts";
import { storedMessage, webhookIdPrefix } from "./webhook-message.ts";
import type { PendingWebhook } from "./webhook-message.ts";

const insertQuery =
  "INSERT INTO prediction (id, state, hands, fed, wake_at, changing, accepted, input) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1";
const insertReservedQuery =
  "INSERT INTO prediction (id, state, hands, fed, wake_at, changing, accepted, input, reservations) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1";
/** Without the indexed column, so that SQLite leaves the index alone. */
const quietQuery = "UPDATE prediction SET state = ?, hands = ?, fed = ?, changing = ? WHERE id = ?";
const wakeQuery = "UPDATE prediction SET state = ?, hands = ?, fed = ?, changing = ?, wake_at = ? WHERE id = ?";
const finishQuery =
  "UPDATE prediction SET state = ?, hands = ?, fed = ?, changing = ?, wake_at = ?, output = ?, logs = ? WHERE id = ?";
const purgeQuery =
  "UPDATE prediction SET changing = ?, fed = ?, wake_at = ?, input = NULL, output = NULL, logs = NULL WHERE id = ?";

const settledQuery = "UPDATE prediction SET changing = ?, wake_at = ?, reservations = ? WHERE id = ?";

const outlineColumns = "id, state, hands, fed, wake_at, changing, accepted";
/** Rows that are looked at in one go where many may be. */
export const PAGE_ROWS = 1000;

/** How much later than the end of its prediction a message of it is made, at the most. */
const WEBHOOK_LAG_MS = 10_000;

/** Of the frames in one row; a row has 2 MB at most, and a character up to 3 bytes. */
const MAX_ROW_CHARS = 512 * 1024;

export type Store = ReturnType<typeof createStore>;

/** A place among the rows in the order in which they are due. */
export type DuePlace = { wakeAt: number; id: string };
/** The place before all rows. */
export const FIRST_DUE: DuePlace = { wakeAt: -1, id: "" };

export function createStore(sql: Sql) {
  openSchema(sql, shardSchema);
  return {
    get(id: string): Row | null {
      const [row] = sql("SELECT * FROM prediction WHERE id = ?", id);
      return row === undefined ? null : rowFrom(row);
    },

    /** A finished one for a list: without its logs, and without an output of more than `mostChars`. */
    ended(id: string, mostChars: number): Row | null {
      const [row] = sql(
        `SELECT ${outlineColumns}, input, CASE WHEN length(output) > ? THEN NULL ELSE output END AS output, '' AS logs, reservations
         FROM prediction WHERE id = ?`,
        mostChars,
        id,
      );
      return row !== undefined && isFinished(stateFrom(row["state"] ?? null)) ? rowFrom(row) : null;
    },

    /** False when the id is there already. `isListed` false: the index of what falls due is spared. */
    insert(row: Row, isListed = true): boolean {
      const fed = row.fed ? 1 : 0;
      const texts = [changingOf(row), acceptedOf(row), textOf(row.input)];
      const base = [row.id, row.state, row.hands, fed, isListed ? row.wakeAt : null, ...texts];
      const reserved = row.reservations === null ? null : JSON.stringify(row.reservations);
      const stored = reserved === null ? sql(insertQuery, ...base) : sql(insertReservedQuery, ...base, reserved);
      return stored.length > 0;
    },

    /** `wakeChanged` false spares the index. Returns how many characters of output and logs were written. */
    update(row: Row, wakeChanged: boolean): number {
      const base = [row.state, row.hands, row.fed ? 1 : 0, changingOf(row)];
      if (isFinished(row.state)) {
        const output = textOf(row.output);
        sql(finishQuery, ...base, row.wakeAt, output, row.logs, row.id);
        return (output?.length ?? 0) + row.logs.length;
      }
      if (wakeChanged) sql(wakeQuery, ...base, row.wakeAt, row.id);
      else sql(quietQuery, ...base, row.id);
      return 0;
    },

    /** Services have back what it had reserved, or some of it. */
    settled(row: Row): void {
      const left = row.reservations === null ? null : JSON.stringify(row.reservations);
      sql(settledQuery, changingOf(row), row.wakeAt, left, row.id);
    },

    /** The data goes; what remembers the client's key stays. */
    purge(row: Row): void {
      sql(purgeQuery, changingOf(row), row.fed ? 1 : 0, row.wakeAt, row.id);
      this.removeFrames(row.id);
    },

    remove(id: string): void {
      sql("DELETE FROM prediction WHERE id = ?", id);
      this.removeFrames(id);
    },

    /** Ids of rows on which something is due at `now`, the most overdue first. */
    due(now: number, limit: number): string[] {
      return sql("SELECT id FROM prediction WHERE wake_at <= ? ORDER BY wake_at LIMIT ?", now, limit).map(({ id }) =>
        text(id ?? null),
      );
    },

    /** Nothing of the row changes but when it is looked at next. */
    wakeLater(id: string, at: number): void {
      sql("UPDATE prediction SET wake_at = ? WHERE id = ?", at, id);
    },

    nextWakeAt(): number | null {
      const [row] = sql("SELECT MIN(wake_at) AS at FROM prediction WHERE wake_at IS NOT NULL");
      const at = row?.["at"] ?? null;
      return at === null ? null : Number(at);
    },

    /** Notes that the index may miss finished predictions that were created at `since` or later; null: none. */
    noteUnfed(since: number | null): void {
      if (since === null) sql("DELETE FROM note WHERE name = 'unfed'");
      else sql("INSERT OR REPLACE INTO note (name, since) VALUES ('unfed', ?)", since);
    },

    unfedSince(): number | null {
      const [row] = sql("SELECT since FROM note WHERE name = 'unfed'");
      return row === undefined ? null : Number(row["since"] ?? 0);
    },

    /** Notes that a lane is to have all that waits, and may not have it yet. */
    noteHanding(isHanding: boolean): void {
      if (isHanding) sql("INSERT OR REPLACE INTO note (name, since) VALUES ('handing', 0)");
      else sql("DELETE FROM note WHERE name = 'handing'");
    },

    isHanding(): boolean {
      return sql("SELECT 1 FROM note WHERE name = 'handing'").length > 0;
    },

    /**
     * Of the next rows behind `after`, in the order of their ids: those of predictions that were created at `since` or
     * later, and that the index may not have; finished ones, or `all`. `next` null: there are no more rows.
     */
    unfed(since: number, after: string, all = false): { rows: Outline[]; next: string | null } {
      const page = sql(`SELECT ${outlineColumns} FROM prediction WHERE id > ? ORDER BY id LIMIT ?`, after, PAGE_ROWS);
      const unfed = page.filter((row) => row["fed"] === 0 && (all || isFinished(stateFrom(row["state"] ?? null))));
      const rows = unfed.map(rowFrom).filter(({ createdAt }) => createdAt >= since);
      return { rows, next: page.length < PAGE_ROWS ? null : text(page.at(-1)?.["id"] ?? null) };
    },

    /**
     * Of the next rows behind `after`, in the order in which they are due: unfinished ones that are due before then.
     */
    unfinished(before: number, after: DuePlace): { rows: Outline[]; next: DuePlace | null } {
      const page = sql(
        `SELECT ${outlineColumns} FROM prediction WHERE wake_at < ? AND (wake_at, id) > (?, ?) ORDER BY wake_at, id LIMIT ?`,
        before,
        after.wakeAt,
        after.id,
        PAGE_ROWS,
      );
      const last = page.length < PAGE_ROWS ? undefined : page.at(-1);
      return {
        rows: page.filter((row) => !isFinished(stateFrom(row["state"] ?? null))).map(rowFrom),
        next: last === undefined ? null : { wakeAt: Number(last["wake_at"] ?? 0), id: text(last["id"] ?? null) },
      };
    },

    addFrames(id: string, frames: readonly StreamFrame[]): void {
      let row: string[] = [];
      let firstSeq = 0;
      let chars = 0;
      const write = () => {
        if (row.length > 0) sql("INSERT OR REPLACE INTO frame VALUES (?, ?, ?)", id, firstSeq, `[${row.join(",")}]`);
        row = [];
        chars = 0;
      };
      for (const frame of frames) {
        const text = JSON.stringify(frame);
        if (chars + text.length > MAX_ROW_CHARS) write();
        if (row.length === 0) firstSeq = frame.seq;
        row.push(text);
        chars += text.length;
      }
      write();
    },

    /** Stored frames, row by row, from the row that has `fromSeq`, or would have it. */
    *frames(id: string, fromSeq = 0): Generator<StreamFrame[]> {
      const [first] = sql("SELECT MAX(first_seq) AS seq FROM frame WHERE id = ? AND first_seq <= ?", id, fromSeq);
      let seq = Number(first?.["seq"] ?? 0);
      for (;;) {
        const [row] = sql(
          "SELECT first_seq, frames FROM frame WHERE id = ? AND first_seq >= ? ORDER BY first_seq LIMIT 1",
          id,
          seq,
        );
        if (row === undefined) return;
        seq = Number(row["first_seq"] ?? 0) + 1;
        yield parse<StreamFrame[]>(row["frames"] ?? null) ?? [];
      }
    },

    hasFrames(id: string): boolean {
      return sql("SELECT 1 FROM frame WHERE id = ? LIMIT 1", id).length > 0;
    },

    removeFrames(id: string): void {
      sql("DELETE FROM frame WHERE id = ?", id);
    },

    addWebhook(message: PendingWebhook): void {
      sql(
        "INSERT OR IGNORE INTO webhook_outbox VALUES (?, ?, ?)",
        message.createdAt,
        message.webhookId,
        storedMessage(message),
      );
    },

    hasWebhooks(): boolean {
      return sql("SELECT 1 FROM webhook_outbox LIMIT 1").length > 0;
    },

    /** The oldest, or those that come after `last`. */
    webhooks(limit: number, last: Pick<PendingWebhook, "createdAt" | "webhookId"> | null): PendingWebhook[] {
      const { createdAt, webhookId } = last ?? { createdAt: -1, webhookId: "" };
      const rows = sql(
        "SELECT message FROM webhook_outbox WHERE (created_at, webhook_id) > (?, ?) ORDER BY created_at, webhook_id LIMIT ?",
        createdAt,
        webhookId,
        limit,
      );
      return rows.flatMap((row) => parse<PendingWebhook>(row["message"] ?? null) ?? []);
    },

    /** Those of an ended prediction: they were made between its acceptance and its end. */
    removeWebhooksOf({ id, createdAt, completedAt }: Pick<Row, "id" | "createdAt" | "completedAt">): void {
      const prefix = webhookIdPrefix(id);
      sql(
        "DELETE FROM webhook_outbox WHERE created_at BETWEEN ? AND ? AND substr(webhook_id, 1, ?) = ?",
        createdAt,
        (completedAt ?? Date.now()) + WEBHOOK_LAG_MS,
        prefix.length,
        prefix,
      );
    },

    removeWebhooks(messages: readonly PendingWebhook[]): void {
      for (const { createdAt, webhookId } of messages) {
        sql("DELETE FROM webhook_outbox WHERE created_at = ? AND webhook_id = ?", createdAt, webhookId);
      }
    },
  };
}
