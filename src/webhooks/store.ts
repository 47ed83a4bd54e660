/**
 * A sender's tables. `messages` is queue and delivery log in one, so that a message costs few writes: one row, and one
 * index entry. The indexes begin with the account: whose turn it is, and what an account takes, costs by what that
 * account has. Of a prediction at most one message is `pending`; those behind it are `waiting` and wake when they
 * become the next.
 */
import { openSchema } from "../object-schema.ts";
import type { Sql } from "../shard/sql.ts";
import { createNotes } from "./notes.ts";
import { webhookSchema } from "./schema.ts";
import { bytesOf, isRepeated, ROW_BYTES, toMessage } from "./stored-message.ts";
import type { StoredMessage, Usage } from "./stored-message.ts";
import type { Delivery, WebhookMessage } from "./types.ts";

/** How long a finished message stays in the log. */
export const LOG_KEPT_MS = 7 * 86_400_000;
/**
 * Of a prediction's `output` and `logs` messages that have ended, how many the log lists: a long stream sends two of
 * them a second.
 */
export const INTERIM_LISTED = 100;
/** How many tries a row lists. */
export const TRIES_LISTED = 12;
/** A body above this many characters is kept in parts, as a row holds 2 MB. */
export const INLINE_BODY_CHARS = 400_000;
const COLUMNS = `prediction_id, webhook_id, account_id, url, event, state, wake_at, created_at, finished_at, failures, try_count, tries,
  response, reason, bytes`;

export type Store = ReturnType<typeof createStore>;

export function createStore(sql: Sql) {
  openSchema(sql, webhookSchema);

  const one = (query: string, ...bindings: (string | number | null)[]): StoredMessage | null => {
    const [row] = sql(query, ...bindings);
    return row === undefined ? null : toMessage(row);
  };

  const eraseFinished = (predictionId: string): void => {
    sql(
      `UPDATE messages SET body = NULL, response = NULL, bytes = ${ROW_BYTES} + length(url)
       WHERE prediction_id = ? AND finished_at IS NOT NULL`,
      predictionId,
    );
  };

  return {
    ...createNotes(sql),

    find(predictionId: string, webhookId: string): StoredMessage | null {
      return one(`SELECT ${COLUMNS} FROM messages WHERE prediction_id = ? AND webhook_id = ?`, predictionId, webhookId);
    },

    /** A prediction's messages in their order of delivery. */
    ofPrediction(predictionId: string): StoredMessage[] {
      const rows = sql(
        `SELECT ${COLUMNS} FROM messages WHERE prediction_id = ? ORDER BY position, webhook_id`,
        predictionId,
      );
      return rows.map(toMessage);
    },

    /** Answers the bytes that the row takes. */
    insert(message: WebhookMessage, state: Delivery["state"], wakeAt: number | null, reason: string | null): number {
      const { predictionId, webhookId, event, body, createdAt } = message;
      const final = state !== "pending" && state !== "waiting";
      const inline = body.length <= INLINE_BODY_CHARS;
      const isKept = !final || (inline && !isRepeated(event));
      const bytes = isKept ? bytesOf(message) : ROW_BYTES + message.url.length;
      sql(
        `INSERT INTO messages (prediction_id, webhook_id, account_id, url, event, position, state, wake_at, created_at, finished_at,
           reason, body, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        predictionId,
        webhookId,
        message.accountId,
        message.url,
        event,
        position(message),
        state,
        wakeAt,
        createdAt,
        final && wakeAt !== null ? wakeAt - LOG_KEPT_MS : null,
        reason,
        inline && isKept ? body : null,
        bytes,
      );
      if (inline || final) return bytes;
      for (const [part, text] of split(body).entries()) {
        sql("INSERT INTO bodies VALUES (?, ?, ?, ?)", predictionId, webhookId, part, text);
      }
      return bytes;
    },

    /** The body, or null when it was too large to be kept after the end. */
    body({ predictionId, webhookId }: StoredMessage): string | null {
      const [row] = sql(
        "SELECT body FROM messages WHERE prediction_id = ? AND webhook_id = ?",
        predictionId,
        webhookId,
      );
      if (typeof row?.["body"] === "string") return row["body"];
      const parts = sql(
        "SELECT text FROM bodies WHERE prediction_id = ? AND webhook_id = ? ORDER BY part",
        predictionId,
        webhookId,
      );
      return parts.length === 0 ? null : parts.map((part) => String(part["text"])).join("");
    },

    /** Writes what a try or a decision changed; answers the bytes that the row takes now. */
    update(message: StoredMessage): number {
      const isOver = message.finishedAt !== null;
      const drops = isOver && isRepeated(message.event) ? 1 : 0;
      const [row] = sql(
        `UPDATE messages SET state = ?, wake_at = ?, finished_at = ?, failures = ?, try_count = ?, tries = ?, response = ?, reason = ?,
           body = CASE ? WHEN 1 THEN NULL ELSE body END,
           bytes = CASE WHEN ? OR (? AND body IS NULL) THEN ${ROW_BYTES} + length(url) ELSE bytes END
         WHERE prediction_id = ? AND webhook_id = ? RETURNING bytes`,
        message.state,
        message.wakeAt,
        message.finishedAt,
        message.failures,
        message.tryCount,
        JSON.stringify(message.tries.slice(-TRIES_LISTED)),
        message.response,
        message.reason,
        drops,
        drops,
        isOver ? 1 : 0,
        message.predictionId,
        message.webhookId,
      );
      const bytes = Number(row?.["bytes"] ?? 0);
      if (!isOver) return bytes;
      sql("DELETE FROM bodies WHERE prediction_id = ? AND webhook_id = ?", message.predictionId, message.webhookId);
      if (sql("SELECT 1 FROM forgotten WHERE prediction_id = ?", message.predictionId).length > 0) {
        eraseFinished(message.predictionId);
      }
      return bytes;
    },

    /** Deletes what of a prediction's ended `output` and `logs` messages is no longer listed; answers their bytes. */
    trim(predictionId: string): number {
      const gone = sql(
        `DELETE FROM messages WHERE (prediction_id, webhook_id) IN (
           SELECT prediction_id, webhook_id FROM messages
           WHERE prediction_id = ? AND event IN ('output', 'logs') AND finished_at IS NOT NULL
           ORDER BY position DESC, webhook_id DESC LIMIT -1 OFFSET ?) RETURNING bytes`,
        predictionId,
        INTERIM_LISTED,
      );
      return gone.reduce((sum, { bytes }) => sum + Number(bytes), 0);
    },

    /** Its time begins anew. */
    renew({ predictionId, webhookId }: StoredMessage, now: number): void {
      sql(
        "UPDATE messages SET redelivered_at = ? WHERE prediction_id = ? AND webhook_id = ?",
        now,
        predictionId,
        webhookId,
      );
    },

    /** Erases what the finished messages of a prediction said. */
    erase: eraseFinished,

    /** An account's pending messages, the longest due first, without those of the URLs named, due by `until`. */
    due(accountId: string, until: number, limit: number, withoutUrls: readonly string[] = []): StoredMessage[] {
      const rows = sql(
        `SELECT ${COLUMNS} FROM messages WHERE account_id = ? AND finished_at IS NULL AND wake_at <= ?
           AND url NOT IN (SELECT value FROM json_each(?))
         ORDER BY wake_at LIMIT ?`,
        accountId,
        until,
        JSON.stringify(withoutUrls),
        limit,
      );
      return rows.map(toMessage);
    },

    /** Of the account's `limit` messages that are due the longest, those whose time began before `begunBefore`. */
    late(accountId: string, now: number, begunBefore: number, limit: number): StoredMessage[] {
      const rows = sql(
        `SELECT * FROM (SELECT ${COLUMNS}, redelivered_at FROM messages
                        WHERE account_id = ? AND finished_at IS NULL AND wake_at <= ? ORDER BY wake_at LIMIT ?)
         WHERE coalesce(redelivered_at, created_at) < ?`,
        accountId,
        now,
        limit,
        begunBefore,
      );
      return rows.map(toMessage);
    },

    /** The accounts that have something open, or (`log`) something that has ended: a seek for each. */
    accounts(which: "open" | "log"): string[] {
      const over = which === "open" ? "IS NULL" : "IS NOT NULL";
      const least = (bound: string) => `SELECT min(account_id) AS id FROM messages WHERE finished_at ${over} ${bound}`;
      const rows = sql(
        `WITH RECURSIVE found(id) AS (
           SELECT * FROM (${least("")}) UNION ALL
           SELECT (${least("AND account_id > found.id")}) FROM found WHERE found.id IS NOT NULL)
         SELECT id FROM found WHERE id IS NOT NULL`,
      );
      return rows.map(({ id }) => String(id));
    },

    /** When the account's oldest row of the log ends. */
    nextPruneAt(accountId: string): number | null {
      const [row] = sql(
        "SELECT min(wake_at) AS value FROM messages WHERE account_id = ? AND finished_at IS NOT NULL",
        accountId,
      );
      return typeof row?.["value"] === "number" ? row["value"] : null;
    },

    /**
     * Deletes the account's log rows that end by `until`, oldest first, at most `limit`; answers how many, and their
     * bytes.
     */
    prune(accountId: string, until: number, limit: number): { rows: number; bytes: number } {
      const gone = sql(
        `DELETE FROM messages WHERE (prediction_id, webhook_id) IN (
           SELECT prediction_id, webhook_id FROM messages
           WHERE account_id = ? AND finished_at IS NOT NULL AND wake_at <= ? ORDER BY wake_at LIMIT ?) RETURNING bytes`,
        accountId,
        until,
        limit,
      );
      return { rows: gone.length, bytes: gone.reduce((sum, { bytes }) => sum + Number(bytes), 0) };
    },

    /**
     * Deletes the account's oldest log rows until `surplus` bytes are free, at most `limit` rows; answers the bytes.
     */
    evict(accountId: string, surplus: number, limit: number): number {
      const gone = sql(
        `DELETE FROM messages WHERE (prediction_id, webhook_id) IN (
           SELECT prediction_id, webhook_id FROM (
             SELECT prediction_id, webhook_id, sum(bytes) OVER (ORDER BY wake_at ROWS UNBOUNDED PRECEDING) - bytes AS freed
             FROM (SELECT prediction_id, webhook_id, wake_at, bytes FROM messages
                   WHERE account_id = ? AND finished_at IS NOT NULL ORDER BY wake_at LIMIT ?))
           WHERE freed < ?) RETURNING bytes`,
        accountId,
        limit,
        surplus,
      );
      return gone.reduce((sum, { bytes }) => sum + Number(bytes), 0);
    },

    /** What the account takes, read from the indexes alone. */
    usage(accountId: string): Usage {
      const sum = (over: string): number => {
        const [row] = sql(
          `SELECT coalesce(sum(bytes), 0) AS bytes FROM messages WHERE account_id = ? AND finished_at ${over}`,
          accountId,
        );
        return Number(row?.["bytes"] ?? 0);
      };
      return { openBytes: sum("IS NULL"), logBytes: sum("IS NOT NULL") };
    },
  };
}

/** Orders by time, and within one millisecond by the way that a prediction goes. */
function position(message: WebhookMessage): number {
  const rank = message.event === "start" ? 0 : message.event === "completed" ? 2 : 1;
  return message.createdAt * 4 + rank;
}

/** Parts of at most INLINE_BODY_CHARS characters, never cut within a surrogate pair. */
function split(body: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < body.length;) {
    let end = Math.min(start + INLINE_BODY_CHARS, body.length);
    if (end < body.length && (body.charCodeAt(end - 1) & 0xfc00) === 0xd800) end -= 1;
    parts.push(body.slice(start, end));
    start = end;
  }
  return parts;
}
