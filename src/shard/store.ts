/** The shard's tables: predictions, the frames that streams replay, and the webhooks that await their sender. */
import type { Json } from "../contract/prediction.ts";
import { states } from "./row.ts";
import type { Fixed, Row, State } from "./row.ts";
import type { Sql, SqlRow, SqlValue } from "./sql.ts";
import type { StreamFrame } from "./types.ts";
import type { PendingWebhook } from "./webhook-message.ts";

/** The columns of `prediction` in the order in which they are written. */
const columns = [
  "id",
  "account_id",
  "fixed",
  "payload_hash",
  "input",
  "input_blob",
  "state",
  "created_at",
  "started_at",
  "completed_at",
  "start_by",
  "end_by",
  "end_as",
  "attempt",
  "losses",
  "token",
  "session",
  "next_seq",
  "chunks",
  "skip",
  "last_frame",
  "shown",
  "output",
  "output_blob",
  "error",
  "logs",
  "metrics",
  "hand_at",
  "hands",
  "check_at",
  "fed",
  "wake_at",
] as const;
type Column = (typeof columns)[number];

/** What acceptance fixes and no update touches. */
const immutable: ReadonlySet<Column> = new Set<Column>([
  "id",
  "account_id",
  "fixed",
  "payload_hash",
  "created_at",
  "start_by",
  "end_by",
  "end_as",
]);
const mutable = columns.filter((column) => !immutable.has(column));

const schema = `
CREATE TABLE IF NOT EXISTS prediction (
  id TEXT PRIMARY KEY, account_id TEXT NOT NULL, fixed TEXT NOT NULL, payload_hash TEXT NOT NULL,
  input TEXT, input_blob TEXT, state TEXT NOT NULL,
  created_at INTEGER NOT NULL, started_at INTEGER, completed_at INTEGER,
  start_by INTEGER NOT NULL, end_by INTEGER NOT NULL, end_as TEXT NOT NULL,
  attempt INTEGER NOT NULL, losses INTEGER NOT NULL, token TEXT, session TEXT, next_seq INTEGER NOT NULL,
  chunks INTEGER NOT NULL, skip INTEGER NOT NULL, last_frame INTEGER NOT NULL, shown INTEGER NOT NULL,
  output TEXT, output_blob TEXT, error TEXT, logs TEXT NOT NULL, metrics TEXT NOT NULL,
  hand_at INTEGER, hands INTEGER NOT NULL, check_at INTEGER, fed INTEGER NOT NULL, wake_at INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS prediction_wake ON prediction (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS frame (
  id TEXT NOT NULL, first_seq INTEGER NOT NULL, frames TEXT NOT NULL, PRIMARY KEY (id, first_seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhook_outbox (
  created_at INTEGER NOT NULL, webhook_id TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (created_at, webhook_id)
) WITHOUT ROWID;
`;

const insertQuery = `INSERT INTO prediction (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`;
const updateQuery = `UPDATE prediction SET ${mutable.map((column) => `${column} = ?`).join(", ")} WHERE id = ?`;
/** The same without the indexed column, so that SQLite leaves the index alone. */
const quiet = mutable.filter((column) => column !== "wake_at");
const quietUpdateQuery = `UPDATE prediction SET ${quiet.map((column) => `${column} = ?`).join(", ")} WHERE id = ?`;

export type Store = ReturnType<typeof createStore>;

export function createStore(sql: Sql) {
  for (const statement of schema.split(";")) if (statement.trim() !== "") sql(statement);

  return {
    get(id: string): Row | null {
      const [row] = sql("SELECT * FROM prediction WHERE id = ?", id);
      return row === undefined ? null : rowFrom(row);
    },

    insert(row: Row): void {
      const values = valuesOf(row);
      sql(insertQuery, ...columns.map((column) => values[column]));
    },

    /** `wakeChanged` false spares the index. */
    update(row: Row, wakeChanged: boolean): void {
      const values = valuesOf(row);
      const names = wakeChanged ? mutable : quiet;
      sql(wakeChanged ? updateQuery : quietUpdateQuery, ...names.map((column) => values[column]), row.id);
    },

    remove(id: string): void {
      sql("DELETE FROM prediction WHERE id = ?", id);
      sql("DELETE FROM frame WHERE id = ?", id);
    },

    /** Rows on which something is due at `now`, the most overdue first. */
    due(now: number, limit: number): Row[] {
      return sql("SELECT * FROM prediction WHERE wake_at <= ? ORDER BY wake_at LIMIT ?", now, limit).map(rowFrom);
    },

    nextWakeAt(): number | null {
      const [row] = sql("SELECT MIN(wake_at) AS at FROM prediction WHERE wake_at IS NOT NULL");
      return numberOrNull(row?.["at"]);
    },

    /** Waiting rows that no sweep has handed on yet, and finished ones that the index has not acknowledged. */
    unconfirmed(before: number, limit: number): Row[] {
      return sql(
        `SELECT * FROM prediction WHERE wake_at < ? AND ((state = 'waiting' AND hands = 0) OR fed = 0) ORDER BY wake_at LIMIT ?`,
        before,
        limit,
      ).map(rowFrom);
    },

    addFrames(id: string, frames: readonly StreamFrame[]): void {
      const [first] = frames;
      if (first !== undefined)
        sql("INSERT OR REPLACE INTO frame VALUES (?, ?, ?)", id, first.seq, JSON.stringify(frames));
    },

    frames(id: string): StreamFrame[] {
      const rows = sql("SELECT frames FROM frame WHERE id = ? ORDER BY first_seq", id);
      return rows.flatMap((row) => parse<StreamFrame[]>(row["frames"] ?? null) ?? []);
    },

    removeFrames(id: string): void {
      sql("DELETE FROM frame WHERE id = ?", id);
    },

    addWebhook(message: PendingWebhook): void {
      sql(
        "INSERT OR IGNORE INTO webhook_outbox VALUES (?, ?, ?)",
        message.createdAt,
        message.webhookId,
        JSON.stringify(message),
      );
    },

    webhooks(limit: number): PendingWebhook[] {
      const rows = sql("SELECT message FROM webhook_outbox ORDER BY created_at LIMIT ?", limit);
      return rows.flatMap((row) => parse<PendingWebhook>(row["message"] ?? null) ?? []);
    },

    removeWebhooks(messages: readonly PendingWebhook[]): void {
      for (const { createdAt, webhookId } of messages) {
        sql("DELETE FROM webhook_outbox WHERE created_at = ? AND webhook_id = ?", createdAt, webhookId);
      }
    },
  };
}

function valuesOf(row: Row): Record<Column, SqlValue> {
  return {
    id: row.id,
    account_id: row.accountId,
    fixed: JSON.stringify(row.fixed),
    payload_hash: row.payloadHash,
    input: textOf(row.input),
    input_blob: row.inputBlob,
    state: row.state,
    created_at: row.createdAt,
    started_at: row.startedAt,
    completed_at: row.completedAt,
    start_by: row.startBy,
    end_by: row.endBy,
    end_as: row.endAs,
    attempt: row.attempt,
    losses: row.losses,
    token: row.token,
    session: row.session,
    next_seq: row.nextSeq,
    chunks: row.chunks,
    skip: row.skip,
    last_frame: row.lastFrame,
    shown: row.shown ? 1 : 0,
    output: textOf(row.output),
    output_blob: row.outputBlob,
    error: textOf(row.error),
    logs: row.logs,
    metrics: JSON.stringify(row.metrics),
    hand_at: row.handAt,
    hands: row.hands,
    check_at: row.checkAt,
    fed: row.fed ? 1 : 0,
    wake_at: row.wakeAt,
  };
}

/** Rows are written by `valuesOf` alone, so that what is read back needs no second check of its shape. */
function rowFrom(stored: SqlRow): Row {
  const value = (column: Column): SqlValue => stored[column] ?? null;
  return {
    id: text(value("id")),
    accountId: text(value("account_id")),
    fixed: JSON.parse(text(value("fixed"))) as Fixed,
    payloadHash: text(value("payload_hash")),
    input: parse<Json>(value("input")),
    inputBlob: textOrNull(value("input_blob")),
    state: stateFrom(value("state")),
    createdAt: Number(value("created_at")),
    startedAt: numberOrNull(value("started_at")),
    completedAt: numberOrNull(value("completed_at")),
    startBy: Number(value("start_by")),
    endBy: Number(value("end_by")),
    endAs: value("end_as") === "canceled" ? "canceled" : "failed",
    attempt: Number(value("attempt")),
    losses: Number(value("losses")),
    token: textOrNull(value("token")),
    session: textOrNull(value("session")),
    nextSeq: Number(value("next_seq")),
    chunks: Number(value("chunks")),
    skip: Number(value("skip")),
    lastFrame: Number(value("last_frame")),
    shown: value("shown") === 1,
    output: parse<Json>(value("output")),
    outputBlob: textOrNull(value("output_blob")),
    error: parse<Row["error"]>(value("error")),
    logs: text(value("logs")),
    metrics: JSON.parse(text(value("metrics"))) as Row["metrics"],
    handAt: numberOrNull(value("hand_at")),
    hands: Number(value("hands")),
    checkAt: numberOrNull(value("check_at")),
    fed: value("fed") === 1,
    wakeAt: numberOrNull(value("wake_at")),
  };
}

function stateFrom(value: SqlValue): State {
  const state = states.find((name) => name === value);
  if (state === undefined) throw new Error(`a prediction is stored in the unknown state ${String(value)}`);
  return state;
}

function parse<T>(value: SqlValue): T | null {
  return value === null ? null : (JSON.parse(String(value)) as T);
}

function textOf(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value);
}

function text(value: SqlValue): string {
  return value === null ? "" : String(value);
}

function textOrNull(value: SqlValue): string | null {
  return value === null ? null : String(value);
}

function numberOrNull(value: SqlValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}
