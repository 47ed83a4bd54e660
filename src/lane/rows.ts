/**
 * What a lane stores: a row for each waiting entry, and one for each flow with what there is to know of it, so that a
 * start counts nothing. A call writes one row an entry and one a flow. Lists go through `json_each`: a statement takes
 * a hundred parameters.
 */
import { openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";
import type { Sql, SqlRow } from "../shard/sql.ts";

/** Rows of one statement. */
const CHUNK = 500;

const tables = [
  "CREATE TABLE IF NOT EXISTS waiting (flow INTEGER NOT NULL, created_at INTEGER NOT NULL, id TEXT NOT NULL, start_by INTEGER NOT NULL, cost REAL NOT NULL, traceparent TEXT, own_index INTEGER NOT NULL, up_to REAL NOT NULL, PRIMARY KEY (flow, created_at, id)) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS flow (flow INTEGER PRIMARY KEY, priority TEXT NOT NULL, account TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL, weight REAL NOT NULL, waiting INTEGER NOT NULL, next_index INTEGER NOT NULL, next_up_to REAL NOT NULL, tag REAL NOT NULL)",
  "CREATE TABLE IF NOT EXISTS session (session TEXT PRIMARY KEY) WITHOUT ROWID",
];

export const laneSchema: Schema = {
  name: "lane",
  steps: [{ up: (sql) => tables.forEach((table) => void sql(table)) }],
};

/** An entry without what its flow knows. */
export type Waiting = {
  id: string;
  createdAt: number;
  startBy: number;
  cost: number;
  traceparent: string | null;
  ownIndex: number;
  upTo: number;
};

export type FlowRow = {
  flow: number;
  priority: Priority;
  account: string;
  model: string;
  version: string;
  weight: number;
  waiting: number;
  nextIndex: number;
  nextUpTo: number;
  tag: number;
};

/** Where an entry's row is. */
export type RowKey = { flow: number; createdAt: number; id: string };

export function createRows(sql: Sql) {
  openSchema(sql, laneSchema);

  function inChunks<T>(items: readonly T[], run: (part: readonly T[]) => SqlRow[]): SqlRow[] {
    if (items.length <= CHUNK) return items.length === 0 ? [] : run(items);
    const rows: SqlRow[] = [];
    for (let at = 0; at < items.length; at += CHUNK) rows.push(...run(items.slice(at, at + CHUNK)));
    return rows;
  }

  const keysOf = (keys: readonly RowKey[]) =>
    JSON.stringify(keys.map(({ flow, createdAt, id }) => [flow, createdAt, id]));

  return {
    insert(rows: readonly (Waiting & { flow: number })[]): void {
      inChunks(rows, (part) =>
        sql(
          "INSERT OR IGNORE INTO waiting SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 FROM json_each(?)",
          JSON.stringify(
            part.map((row) => [
              row.flow,
              row.createdAt,
              row.id,
              row.startBy,
              row.cost,
              row.traceparent,
              row.ownIndex,
              row.upTo,
            ]),
          ),
        ),
      );
    },

    /** Those that are there, by id. */
    find(keys: readonly RowKey[]): Map<string, Waiting> {
      const rows = inChunks(keys, (part) =>
        sql(
          "SELECT w.* FROM json_each(?) j CROSS JOIN waiting w ON w.flow = j.value ->> 0 AND w.created_at = j.value ->> 1 AND w.id = j.value ->> 2",
          keysOf(part),
        ),
      );
      return new Map(rows.map((row) => [String(row["id"]), waitingOf(row)]));
    },

    /** Answers the ids of those that were there. */
    remove(keys: readonly RowKey[]): Set<string> {
      const removed = inChunks(keys, (part) =>
        sql(
          "DELETE FROM waiting WHERE (flow, created_at, id) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)) RETURNING id",
          keysOf(part),
        ),
      );
      return new Set(removed.map((row) => String(row["id"])));
    },

    /** Of a flow, in order, what comes after `after`. */
    read(flow: number, after: { createdAt: number; id: string }, limit: number): Waiting[] {
      return sql(
        "SELECT * FROM waiting WHERE flow = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?",
        flow,
        after.createdAt,
        after.id,
        limit,
      ).map(waitingOf);
    },

    /** How many of a flow come after `after`, counted up to `limit`. */
    countAfter(flow: number, after: { createdAt: number; id: string }, limit: number): number {
      const [row] = sql(
        "SELECT COUNT(*) AS count FROM (SELECT 1 FROM waiting WHERE flow = ? AND (created_at, id) > (?, ?) LIMIT ?)",
        flow,
        after.createdAt,
        after.id,
        limit,
      );
      return Number(row?.["count"] ?? 0);
    },

    /** The newest of a flow. */
    last(flow: number): { createdAt: number; id: string } | null {
      const [row] = sql(
        "SELECT created_at, id FROM waiting WHERE flow = ? ORDER BY created_at DESC, id DESC LIMIT 1",
        flow,
      );
      return row === undefined ? null : { createdAt: Number(row["created_at"]), id: String(row["id"]) };
    },

    flows(): FlowRow[] {
      return sql("SELECT * FROM flow").flatMap((row) => flowOf(row) ?? []);
    },

    /** When the oldest of each flow was accepted. */
    heads(flows: readonly number[]): Map<number, number> {
      const rows = inChunks(flows, (part) =>
        sql(
          "SELECT f.value AS flow, (SELECT w.created_at FROM waiting w WHERE w.flow = f.value ORDER BY w.created_at LIMIT 1) AS created_at FROM json_each(?) f",
          JSON.stringify(part),
        ),
      );
      return new Map(rows.map((row) => [Number(row["flow"]), Number(row["created_at"])]));
    },

    /** Writes the flows' rows; those for which nothing waits go. */
    saveFlows(flows: readonly FlowRow[]): void {
      const empty = flows.filter(({ waiting }) => waiting === 0).map(({ flow }) => flow);
      inChunks(empty, (part) =>
        sql("DELETE FROM flow WHERE flow IN (SELECT value FROM json_each(?))", JSON.stringify(part)),
      );
      inChunks(
        flows.filter(({ waiting }) => waiting > 0),
        (part) =>
          sql(
            "INSERT OR REPLACE INTO flow SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each(?)",
            JSON.stringify(
              part.map((f) => [
                f.flow,
                f.priority,
                f.account,
                f.model,
                f.version,
                f.weight,
                f.waiting,
                f.nextIndex,
                f.nextUpTo,
                f.tag,
              ]),
            ),
          ),
      );
    },

    sessions(): string[] {
      return sql("SELECT session FROM session").map((row) => String(row["session"]));
    },

    addSession(session: string): void {
      sql("INSERT OR IGNORE INTO session VALUES (?)", session);
    },

    removeSession(session: string): void {
      sql("DELETE FROM session WHERE session = ?", session);
    },
  };
}

export type Rows = ReturnType<typeof createRows>;

function waitingOf(row: SqlRow): Waiting {
  const traceparent = row["traceparent"];
  return {
    id: String(row["id"]),
    createdAt: Number(row["created_at"]),
    startBy: Number(row["start_by"]),
    cost: Number(row["cost"]),
    traceparent: typeof traceparent === "string" ? traceparent : null,
    ownIndex: Number(row["own_index"]),
    upTo: Number(row["up_to"]),
  };
}

function flowOf(row: SqlRow): FlowRow | null {
  const priority = priorities.find((name) => name === row["priority"]);
  if (priority === undefined) return null;
  return {
    flow: Number(row["flow"]),
    priority,
    account: String(row["account"]),
    model: String(row["model"]),
    version: String(row["version"]),
    weight: Number(row["weight"]),
    waiting: Number(row["waiting"]),
    nextIndex: Number(row["next_index"]),
    nextUpTo: Number(row["next_up_to"]),
    tag: Number(row["tag"]),
  };
}
