/** What a broker stores: its topics, their partitions with their batches, and what groups committed. */
import { addColumn, openSchema } from "../object-schema.ts";
import type { Schema } from "../object-schema.ts";
import type { SqlRow } from "../shard/sql.ts";

const tables = [
  "create table if not exists partitions (id integer not null, topic text, partition integer, primary key (topic, partition)) without rowid",
  `create table if not exists batches (
     partition integer, base integer, count integer not null, at integer not null, max_timestamp integer not null,
     bytes integer not null, records text not null, total integer not null default 0, primary key (partition, base)
   ) without rowid`,
  "create unique index if not exists partitions_id on partitions (id)",
  "create table if not exists topics (topic text primary key, partitions integer not null, owner text) without rowid",
  `create table if not exists commits (
     consumer_group text, topic text, partition integer, next integer not null, at integer not null, owner text,
     primary key (consumer_group, topic, partition)
   ) without rowid`,
];

export const logSchema: Schema = {
  name: "broker of the log",
  steps: [
    {
      up(sql) {
        for (const table of tables) sql(table);
        // Rows from before it count as nothing, but for the oldest: their partition's size is right once they have
        // gone.
        addColumn(sql, "batches", "total", "integer not null default 0");
        addColumn(sql, "topics", "owner", "text");
        addColumn(sql, "commits", "owner", "text");
        sql("create index if not exists topics_owner on topics (owner) where owner is not null");
        sql("create index if not exists commits_owner on commits (owner) where owner is not null");
      },
    },
  ],
};

export function openLogSchema(storage: SqlStorage): void {
  openSchema((query, ...bindings) => storage.exec<SqlRow>(query, ...bindings).toArray(), logSchema);
}
