/** What a sender stores: messages with their bodies, and its notes of URLs, predictions and accounts. */
import { addColumn } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import { ROW_BYTES } from "./stored-message.ts";

const tables = [
  `CREATE TABLE IF NOT EXISTS messages (
     prediction_id TEXT NOT NULL, webhook_id TEXT NOT NULL, account_id TEXT NOT NULL, url TEXT NOT NULL, event TEXT NOT NULL,
     position INTEGER NOT NULL, state TEXT NOT NULL, wake_at INTEGER, created_at INTEGER NOT NULL, finished_at INTEGER,
     failures INTEGER NOT NULL DEFAULT 0, try_count INTEGER NOT NULL DEFAULT 0, tries TEXT NOT NULL DEFAULT '[]',
     response TEXT, reason TEXT, body TEXT, redelivered_at INTEGER, bytes INTEGER NOT NULL DEFAULT ${ROW_BYTES},
     PRIMARY KEY (prediction_id, webhook_id)
   ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS bodies (
     prediction_id TEXT NOT NULL, webhook_id TEXT NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
     PRIMARY KEY (prediction_id, webhook_id, part)
   ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS disabled (
     account_id TEXT NOT NULL, url TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (account_id, url)
   ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS forgotten (
     prediction_id TEXT PRIMARY KEY, at INTEGER NOT NULL, dropped INTEGER NOT NULL
   ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS breakers (
     account_id TEXT PRIMARY KEY, failures INTEGER NOT NULL, openings INTEGER NOT NULL, open_until INTEGER NOT NULL
   ) WITHOUT ROWID`,
];

/** What waits behind another message has no time to wake at: it stands in the index before all that is due. */
const indexes = [
  "CREATE INDEX IF NOT EXISTS messages_open ON messages (account_id, wake_at, bytes, finished_at) WHERE finished_at IS NULL",
  "CREATE INDEX IF NOT EXISTS messages_log ON messages (account_id, wake_at, bytes, finished_at) WHERE finished_at IS NOT NULL",
];

/** What was there before schemas were numbered, such as one breaker for the whole host. */
const replaced = [
  "DROP TABLE IF EXISTS breaker",
  "DROP INDEX IF EXISTS messages_due",
  "DROP INDEX IF EXISTS messages_end",
];

export const webhookSchema: Schema = {
  name: "sender of webhooks",
  steps: [
    {
      up(sql) {
        for (const table of tables) sql(table);
        addColumn(sql, "messages", "redelivered_at", "INTEGER");
        addColumn(sql, "messages", "bytes", `INTEGER NOT NULL DEFAULT ${ROW_BYTES}`);
        for (const statement of [...indexes, ...replaced]) sql(statement);
      },
    },
  ],
};
