/**
 * What a shard stores: predictions, the frames that streams replay, webhooks that await their sender, and three marks.
 */
import { addColumn } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";

const tables = [
  `CREATE TABLE IF NOT EXISTS prediction (
     id TEXT PRIMARY KEY, state TEXT NOT NULL, hands INTEGER NOT NULL, fed INTEGER NOT NULL, wake_at INTEGER,
     changing TEXT NOT NULL, accepted TEXT NOT NULL, input TEXT, output TEXT, logs TEXT, reservations TEXT
   ) WITHOUT ROWID`,
  "CREATE INDEX IF NOT EXISTS prediction_wake ON prediction (wake_at) WHERE wake_at IS NOT NULL",
  "CREATE TABLE IF NOT EXISTS frame (id TEXT NOT NULL, first_seq INTEGER NOT NULL, frames TEXT NOT NULL, PRIMARY KEY (id, first_seq)) WITHOUT ROWID",
  `CREATE TABLE IF NOT EXISTS webhook_outbox (
     created_at INTEGER NOT NULL, webhook_id TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (created_at, webhook_id)
   ) WITHOUT ROWID`,
  "CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, since INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS unlisted (one INTEGER PRIMARY KEY CHECK (one = 1), since TEXT NOT NULL) WITHOUT ROWID",
  "CREATE TABLE IF NOT EXISTS ended_mark (one INTEGER PRIMARY KEY CHECK (one = 1), published INTEGER NOT NULL, pending INTEGER NOT NULL, reserved INTEGER)",
];

const usageMark =
  "CREATE TABLE IF NOT EXISTS usage_mark (one INTEGER PRIMARY KEY CHECK (one = 1), taken INTEGER NOT NULL, pending INTEGER NOT NULL, reserved INTEGER NOT NULL)";

export const shardSchema: Schema = {
  name: "shard",
  steps: [
    {
      up(sql) {
        for (const table of tables) sql(table);
        addColumn(sql, "note", "since", "INTEGER NOT NULL DEFAULT 0");
        addColumn(sql, "prediction", "reservations", "TEXT");
        addColumn(sql, "ended_mark", "reserved", "INTEGER");
      },
    },
    { isAdded: true, up: (sql) => void sql(usageMark) },
  ],
};
