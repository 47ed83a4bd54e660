/** Committed offsets of consumer groups, stored as they were sent: the offset that the group reads next. */
import { partitionKey } from "./names.ts";
import type { TopicPartition, TopicPartitionOffset } from "./protocol.ts";

/** A group's offsets are kept this long after its last commit, unless it has members. */
export const COMMIT_RETENTION_MS = 30 * 86_400_000;

export class CommitStore {
  readonly #sql: SqlStorage;
  readonly #groups = new Map<string, Map<string, TopicPartitionOffset>>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      create table if not exists commits (
        consumer_group text, topic text, partition integer, next integer not null, at integer not null,
        primary key (consumer_group, topic, partition)
      ) without rowid;
    `);
    type Row = { consumer_group: string; topic: string; partition: number; next: number };
    for (const row of sql.exec<Row>("select consumer_group, topic, partition, next from commits")) {
      this.#remember(row.consumer_group, { topic: row.topic, partition: row.partition, offset: row.next });
    }
  }

  /** Stores the offsets that differ from what is stored; one row each. */
  commit(group: string, offsets: readonly TopicPartitionOffset[], now: number): void {
    const changed = offsets.filter((entry) => this.committed(group, entry) !== entry.offset);
    if (changed.length === 0) return;
    this.#sql.exec(
      `insert or replace into commits (consumer_group, topic, partition, next, at)
       select ?1, value ->> 'topic', value ->> 'partition', value ->> 'offset', ?2 from json_each(?3)`,
      group,
      now,
      JSON.stringify(changed),
    );
    for (const entry of changed) this.#remember(group, entry);
  }

  /** The group's committed offset of a partition; undefined when it has none. */
  committed(group: string, at: TopicPartition): number | undefined {
    return this.#groups.get(group)?.get(partitionKey(at.topic, at.partition))?.offset;
  }

  all(): (TopicPartitionOffset & { group: string })[] {
    return [...this.#groups].flatMap(([group, entries]) => [...entries.values()].map((entry) => ({ group, ...entry })));
  }

  /** Forgets groups that last committed before the retention and that `isLive` doesn't know. */
  sweep(now: number, isLive: (group: string) => boolean): void {
    const rows = this.#sql
      .exec<{ consumer_group: string }>(
        "select consumer_group from commits group by consumer_group having max(at) < ? limit 100",
        now - COMMIT_RETENTION_MS,
      )
      .toArray();
    for (const { consumer_group: group } of rows) {
      if (isLive(group)) continue;
      this.#sql.exec("delete from commits where consumer_group = ?", group);
      this.#groups.delete(group);
    }
  }

  #remember(group: string, entry: TopicPartitionOffset): void {
    const entries = this.#groups.get(group) ?? new Map<string, TopicPartitionOffset>();
    entries.set(partitionKey(entry.topic, entry.partition), {
      topic: entry.topic,
      partition: entry.partition,
      offset: entry.offset,
    });
    this.#groups.set(group, entries);
  }
}
