/**
 * A sender's tables. `messages` is queue and delivery log in one, so that a message costs few writes: one row, and one index entry while
 * it has a time to wake at (its next try, or the end of its log row). Of a prediction at most one message is `pending`; those behind
 * it are `waiting` and wake when they become the next.
 */
import * as z from "zod";
import type { Sql, SqlRow } from "../shard/sql.ts";
import { closedBreaker } from "./breaker.ts";
import type { Breaker } from "./breaker.ts";
import { deliveryStates } from "./types.ts";
import type { Delivery, DeliveryTry, WebhookMessage } from "./types.ts";

/** How long a finished message stays in the log. */
export const LOG_KEPT_MS = 7 * 86_400_000;
/** Of a prediction's `output` and `logs` messages that have ended, how many the log lists: a long stream sends two of them a second. */
export const INTERIM_LISTED = 100;
/** How many tries a row lists. */
export const TRIES_LISTED = 12;
/** A body above this many characters is kept in parts, as a row holds 2 MB. */
export const INLINE_BODY_CHARS = 400_000;

const events = ["start", "output", "logs", "completed"] as const;

const TrySchema = z.object({
  at: z.number(),
  status: z.number().nullable(),
  durationMs: z.number(),
  error: z.string().nullable(),
});

const RowSchema = z.object({
  prediction_id: z.string(),
  webhook_id: z.string(),
  account_id: z.string(),
  url: z.string(),
  event: z.enum(events),
  state: z.enum(deliveryStates),
  wake_at: z.number().nullable(),
  created_at: z.number(),
  finished_at: z.number().nullable(),
  failures: z.number(),
  try_count: z.number(),
  tries: z.string(),
  response: z.string().nullable(),
  reason: z.string().nullable(),
});

export type StoredMessage = {
  predictionId: string;
  webhookId: string;
  accountId: string;
  url: string;
  event: WebhookMessage["event"];
  state: Delivery["state"];
  wakeAt: number | null;
  createdAt: number;
  finishedAt: number | null;
  /** Failures that the schedule counts; a redelivery begins at 0 again. */
  failures: number;
  tryCount: number;
  tries: DeliveryTry[];
  response: string | null;
  reason: string | null;
};

const COLUMNS = `prediction_id, webhook_id, account_id, url, event, state, wake_at, created_at, finished_at, failures, try_count, tries,
  response, reason`;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS messages (
  prediction_id TEXT NOT NULL, webhook_id TEXT NOT NULL, account_id TEXT NOT NULL, url TEXT NOT NULL, event TEXT NOT NULL,
  position INTEGER NOT NULL, state TEXT NOT NULL, wake_at INTEGER, created_at INTEGER NOT NULL, finished_at INTEGER,
  failures INTEGER NOT NULL DEFAULT 0, try_count INTEGER NOT NULL DEFAULT 0, tries TEXT NOT NULL DEFAULT '[]',
  response TEXT, reason TEXT, body TEXT, redelivered_at INTEGER,
  PRIMARY KEY (prediction_id, webhook_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_due ON messages (wake_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS messages_end ON messages (wake_at) WHERE finished_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS bodies (
  prediction_id TEXT NOT NULL, webhook_id TEXT NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (prediction_id, webhook_id, part)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS disabled (
  account_id TEXT NOT NULL, url TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (account_id, url)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (
  prediction_id TEXT PRIMARY KEY, at INTEGER NOT NULL, dropped INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS breaker (
  one INTEGER PRIMARY KEY, failures INTEGER NOT NULL, openings INTEGER NOT NULL, open_until INTEGER NOT NULL
);`;

export type Store = ReturnType<typeof createStore>;

export function createStore(sql: Sql) {
  for (const statement of SCHEMA.split(";").filter((text) => text.trim() !== "")) sql(statement);
  const columns = sql("SELECT name FROM pragma_table_info('messages')").map(({ name }) => name);
  if (!columns.includes("redelivered_at")) sql("ALTER TABLE messages ADD COLUMN redelivered_at INTEGER");

  const one = (query: string, ...bindings: (string | number | null)[]): StoredMessage | null => {
    const [row] = sql(query, ...bindings);
    return row === undefined ? null : toMessage(row);
  };

  const eraseFinished = (predictionId: string): void => {
    sql(
      "UPDATE messages SET body = NULL, response = NULL WHERE prediction_id = ? AND finished_at IS NOT NULL",
      predictionId,
    );
  };

  return {
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

    insert(message: WebhookMessage, state: Delivery["state"], wakeAt: number | null, reason: string | null): void {
      const { predictionId, webhookId, event, body, createdAt } = message;
      const final = state !== "pending" && state !== "waiting";
      const inline = body.length <= INLINE_BODY_CHARS;
      sql(
        `INSERT INTO messages (prediction_id, webhook_id, account_id, url, event, position, state, wake_at, created_at, finished_at,
           reason, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
        inline && !(final && isRepeated(event)) ? body : null,
      );
      if (inline || final) return;
      for (const [part, text] of split(body).entries()) {
        sql("INSERT INTO bodies VALUES (?, ?, ?, ?)", predictionId, webhookId, part, text);
      }
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

    /** Writes what a try or a decision changed. */
    update(message: StoredMessage): void {
      sql(
        `UPDATE messages SET state = ?, wake_at = ?, finished_at = ?, failures = ?, try_count = ?, tries = ?, response = ?, reason = ?,
           body = CASE ? WHEN 1 THEN NULL ELSE body END
         WHERE prediction_id = ? AND webhook_id = ?`,
        message.state,
        message.wakeAt,
        message.finishedAt,
        message.failures,
        message.tryCount,
        JSON.stringify(message.tries.slice(-TRIES_LISTED)),
        message.response,
        message.reason,
        message.finishedAt !== null && isRepeated(message.event) ? 1 : 0,
        message.predictionId,
        message.webhookId,
      );
      if (message.finishedAt === null) return;
      sql("DELETE FROM bodies WHERE prediction_id = ? AND webhook_id = ?", message.predictionId, message.webhookId);
      if (sql("SELECT 1 FROM forgotten WHERE prediction_id = ?", message.predictionId).length > 0) {
        eraseFinished(message.predictionId);
      }
    },

    /** Deletes what of a prediction's ended `output` and `logs` messages is no longer listed; answers how many. */
    trim(predictionId: string): number {
      return sql(
        `DELETE FROM messages WHERE (prediction_id, webhook_id) IN (
           SELECT prediction_id, webhook_id FROM messages
           WHERE prediction_id = ? AND event IN ('output', 'logs') AND finished_at IS NOT NULL
           ORDER BY position DESC, webhook_id DESC LIMIT -1 OFFSET ?) RETURNING 1 AS gone`,
        predictionId,
        INTERIM_LISTED,
      ).length;
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

    /** Those that are unfinished are erased when they have ended; with `dropped`, no more are taken. */
    forget(predictionId: string, now: number, dropped: boolean): void {
      sql("INSERT OR REPLACE INTO forgotten VALUES (?, ?, ?)", predictionId, now, dropped ? 1 : 0);
    },

    isDropped(predictionId: string): boolean {
      return sql("SELECT 1 FROM forgotten WHERE prediction_id = ? AND dropped = 1", predictionId).length > 0;
    },

    pruneForgotten(before: number): void {
      sql("DELETE FROM forgotten WHERE at < ?", before);
    },

    /** Pending messages that are due, the longest due first, without those of the accounts and URLs named. */
    due(
      now: number,
      limit: number,
      without: { accounts?: readonly string[]; urls?: readonly string[] },
    ): StoredMessage[] {
      const rows = sql(
        `SELECT ${COLUMNS} FROM messages
         WHERE state = 'pending' AND wake_at <= ? AND account_id NOT IN (SELECT value FROM json_each(?))
           AND url NOT IN (SELECT value FROM json_each(?))
         ORDER BY wake_at LIMIT ?`,
        now,
        JSON.stringify(without.accounts ?? []),
        JSON.stringify(without.urls ?? []),
        limit,
      );
      return rows.map(toMessage);
    },

    /** Of the `limit` messages that are due the longest, those whose time began before `begunBefore`. */
    late(now: number, begunBefore: number, limit: number): StoredMessage[] {
      const rows = sql(
        `SELECT * FROM (SELECT ${COLUMNS}, redelivered_at FROM messages WHERE state = 'pending' AND wake_at <= ?
                        ORDER BY wake_at LIMIT ?)
         WHERE coalesce(redelivered_at, created_at) < ?`,
        now,
        limit,
        begunBefore,
      );
      return rows.map(toMessage);
    },

    /** The earliest time after `now` at which a pending message is due. */
    nextDueAt(now: number): number | null {
      return first(sql(`SELECT min(wake_at) AS value FROM messages WHERE state = 'pending' AND wake_at > ?`, now));
    },

    hasDue(now: number): boolean {
      return this.due(now, 1, {}).length > 0;
    },

    /** When the oldest row of the log ends. */
    nextPruneAt(): number | null {
      return first(
        sql(`SELECT min(wake_at) AS value FROM messages
             WHERE finished_at IS NOT NULL`),
      );
    },

    /** Deletes log rows that end before `now`, oldest first, at most `limit`; answers how many. */
    prune(now: number, limit: number): number {
      return sql(
        `DELETE FROM messages WHERE (prediction_id, webhook_id) IN (
           SELECT prediction_id, webhook_id FROM messages
           WHERE finished_at IS NOT NULL AND wake_at <= ? ORDER BY wake_at LIMIT ?) RETURNING 1 AS gone`,
        now,
        limit,
      ).length;
    },

    /** Rows by whether they are finished. */
    counts(): { open: number; finished: number } {
      const [row] = sql("SELECT count(*) AS total, count(finished_at) AS finished FROM messages");
      const finished = Number(row?.["finished"] ?? 0);
      return { open: Number(row?.["total"] ?? 0) - finished, finished };
    },

    disable(accountId: string, url: string, now: number): void {
      sql("INSERT OR REPLACE INTO disabled VALUES (?, ?, ?)", accountId, url, now);
    },

    enable(accountId: string, url: string): void {
      sql("DELETE FROM disabled WHERE account_id = ? AND url = ?", accountId, url);
    },

    isDisabled(accountId: string, url: string): boolean {
      return sql("SELECT 1 AS yes FROM disabled WHERE account_id = ? AND url = ?", accountId, url).length > 0;
    },

    /** Forgets URLs that were disabled before `before`. */
    pruneDisabled(before: number): void {
      sql("DELETE FROM disabled WHERE at < ?", before);
    },

    loadBreaker(): Breaker {
      const [row] = sql("SELECT failures, openings, open_until FROM breaker");
      if (row === undefined) return closedBreaker;
      return {
        failures: Number(row["failures"]),
        openings: Number(row["openings"]),
        openUntil: Number(row["open_until"]),
      };
    },

    saveBreaker(breaker: Breaker): void {
      sql("INSERT OR REPLACE INTO breaker VALUES (1, ?, ?, ?)", breaker.failures, breaker.openings, breaker.openUntil);
    },
  };
}

/** Whether a later message says the same and more. What such a one said isn't kept behind its end. */
export function isRepeated(event: WebhookMessage["event"]): boolean {
  return event === "output" || event === "logs";
}

/** A delivery as its readers see it. */
export function toDelivery(message: StoredMessage): Delivery {
  return {
    webhookId: message.webhookId,
    predictionId: message.predictionId,
    url: message.url,
    event: message.event,
    state: message.state,
    createdAt: message.createdAt,
    nextTryAt: message.state === "pending" ? message.wakeAt : null,
    finishedAt: message.finishedAt,
    tryCount: message.tryCount,
    tries: message.tries,
    response: message.response,
    reason: message.reason,
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

function first(rows: SqlRow[]): number | null {
  const value = rows[0]?.["value"];
  return typeof value === "number" ? value : null;
}

function toMessage(raw: SqlRow): StoredMessage {
  const row = RowSchema.parse(raw);
  return {
    predictionId: row.prediction_id,
    webhookId: row.webhook_id,
    accountId: row.account_id,
    url: row.url,
    event: row.event,
    state: row.state,
    wakeAt: row.wake_at,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
    failures: row.failures,
    tryCount: row.try_count,
    tries: z.array(TrySchema).parse(JSON.parse(row.tries)),
    response: row.response,
    reason: row.reason,
  };
}
