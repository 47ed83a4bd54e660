/**
 * The records of a broker's partitions, in SQLite.
 *
 * A partition's next offset is what its newest row says (`base + count`); retention never deletes that row, it only empties
 * it. So an append writes one row, and an offset is never given twice, restarts included.
 */
import { decodeBatch, encodeBatches, toMessage } from "./batch.ts";
import type { StoredRecord } from "./batch.ts";
import { partitionKey } from "./names.ts";
import type { Append, Appended, LogMessage, OffsetQuery, TopicInfo } from "./protocol.ts";

export type Bounds = { start: number; end: number };
export type Retention = { ms: number; bytes: number };
export type Slice = { messages: LogMessage[]; next: number };

type Partition = Bounds & {
  id: number | null;
  topic: string;
  partition: number;
  /** Null until counted. */
  bytes: number | null;
  /** The newest batch, kept decoded while small: whoever waits for it gets it without a query. */
  tail: { base: number; records: (StoredRecord | null)[] } | null;
};
type BatchRow = { base: number; count: number; records: string };
export type ReadLimits = { records: number; bytes: number };

const TAIL_BYTES = 16_384;
/** Rows that one sweep deletes at most; each counts as written. */
export const SWEEP_ROWS = 500;

export class PartitionStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #partitions = new Map<string, Partition>();
  readonly #topics = new Map<string, number>();
  #nextId = 1;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#sql.exec(`
      create table if not exists topics (topic text primary key, partitions integer not null) without rowid;
      create table if not exists partitions (id integer not null, topic text, partition integer, primary key (topic, partition)) without rowid;
      create table if not exists batches (
        partition integer, base integer, count integer not null, at integer not null, max_timestamp integer not null,
        bytes integer not null, records text not null, primary key (partition, base)
      ) without rowid;
    `);
    for (const row of this.#sql.exec<{ topic: string; partitions: number }>("select topic, partitions from topics")) {
      this.#topics.set(row.topic, row.partitions);
    }
    type PartitionRow = { id: number; topic: string; partition: number };
    for (const { id, topic, partition } of this.#sql
      .exec<PartitionRow>("select id, topic, partition from partitions")
      .toArray()) {
      this.#nextId = Math.max(this.#nextId, id + 1);
      const key = partitionKey(topic, partition);
      this.#partitions.set(key, { id, topic, partition, ...this.#storedBounds(id), bytes: null, tail: null });
    }
  }

  topics(): TopicInfo[] {
    return [...this.#topics].map(([topic, partitions]) => ({ topic, partitions }));
  }

  /** The partition count of `topic`; undefined when it isn't known here. */
  partitionCount(topic: string): number | undefined {
    return this.#topics.get(topic);
  }

  /** Makes the topic known here; the first count that it is given stays. */
  addTopic(topic: string, partitions: number): number {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    this.#sql.exec("insert or ignore into topics (topic, partitions) values (?, ?)", topic, partitions);
    this.#topics.set(topic, partitions);
    return partitions;
  }

  /** Appends all or nothing. Each record takes `copies` offsets in a row (1 but for test faults). */
  append(appends: readonly Append[], now: number, copies: number, lost: () => boolean): Appended[] {
    const done: { partition: Partition; end: number; bytes: number; tail: Partition["tail"] }[] = [];
    const fresh: Partition[] = [];
    const freshTopics = appends.map((append) => append.topic).filter((topic) => !this.#topics.has(topic));
    const write = (): Appended[] =>
      appends.map((append) => {
        this.addTopic(append.topic, append.partitionCount);
        const partition = this.#partition(append.topic, append.partition);
        if (partition.id === null) fresh.push(partition);
        const id = partition.id ?? this.#register(partition);
        const earlier = done.findLast((entry) => entry.partition === partition);
        const baseOffset = earlier?.end ?? partition.end;
        const records =
          copies === 1
            ? append.records
            : append.records.flatMap((record) => Array.from({ length: copies }, () => record));
        let base = baseOffset;
        let tail: Partition["tail"] = null;
        let bytes = 0;
        for (const batch of encodeBatches(records, now, lost)) {
          this.#sql.exec(
            "insert into batches (partition, base, count, at, max_timestamp, bytes, records) values (?, ?, ?, ?, ?, ?, ?)",
            id,
            base,
            batch.count,
            now,
            batch.maxTimestamp,
            batch.bytes,
            batch.text,
          );
          tail = batch.bytes <= TAIL_BYTES ? { base, records: decodeBatch(batch.text) } : null;
          base += batch.count;
          bytes += batch.bytes;
        }
        done.push({ partition, end: base, bytes, tail });
        const timestamps = append.records.map((record) => record.timestamp ?? now);
        return { baseOffset, timestamps, stride: copies };
      });
    let results: Appended[];
    try {
      results = this.#storage.transactionSync(write);
    } catch (error) {
      // The rows were rolled back; what memory says of them must be too.
      for (const partition of fresh) partition.id = null;
      for (const topic of freshTopics) this.#topics.delete(topic);
      throw error;
    }
    for (const { partition, end, bytes, tail } of done) {
      partition.end = end;
      partition.tail = tail;
      if (partition.bytes !== null) partition.bytes += bytes;
    }
    return results;
  }

  bounds(topic: string, partition: number): Bounds {
    const { start, end } = this.#partition(topic, partition);
    return { start, end };
  }

  /** Records from offset `from`, which must be within the bounds, and the offset after the last that was looked at. */
  read(topic: string, partition: number, from: number, limits: ReadLimits): Slice {
    const state = this.#partition(topic, partition);
    const messages: LogMessage[] = [];
    let next = from;
    let bytes = 0;
    if (from >= state.end || state.id === null) return { messages, next };
    const add = (base: number, records: (StoredRecord | null)[]): boolean => {
      for (let index = Math.max(0, from - base); index < records.length; index++) {
        const record = records[index];
        if (messages.length >= limits.records) return false;
        if (record) {
          bytes += record.value.length;
          if (messages.length > 0 && bytes > limits.bytes) return false;
          messages.push(toMessage(topic, partition, base + index, record));
        }
        next = base + index + 1;
      }
      return true;
    };
    if (state.tail !== null && from >= state.tail.base) {
      add(state.tail.base, state.tail.records);
      return { messages, next };
    }
    const rows = this.#sql.exec<BatchRow>(
      `select base, count, records from batches where partition = ?1
       and base >= coalesce((select max(base) from batches where partition = ?1 and base <= ?2), 0) order by base`,
      state.id,
      from,
    );
    for (const row of rows) {
      if (!add(row.base, decodeBatch(row.records))) break;
      next = Math.max(next, row.base + row.count);
    }
    return { messages, next };
  }

  /** The earliest offset whose record is at least as young as `query`, or -1; or an end of the partition. */
  offset(topic: string, partition: number, query: OffsetQuery): number {
    const state = this.#partition(topic, partition);
    if (query === "earliest") return state.start;
    if (query === "latest") return state.end;
    if (state.id === null) return -1;
    const rows = this.#sql.exec<BatchRow>(
      "select base, count, records from batches where partition = ? and max_timestamp >= ? order by base",
      state.id,
      query,
    );
    for (const row of rows) {
      const index = decodeBatch(row.records).findIndex((record) => record !== null && record.timestamp >= query);
      if (index !== -1) return row.base + index;
    }
    return -1;
  }

  /** Deletes what is over the retention, at most `SWEEP_ROWS` rows. Answers whether more is due, and the oldest row's time. */
  sweep(now: number, retention: Retention): { more: boolean; oldestAt: number | null } {
    let left = SWEEP_ROWS;
    let oldestAt: number | null = null;
    for (const state of this.#partitions.values()) {
      if (left <= 0) return { more: true, oldestAt };
      left -= this.trim(state.topic, state.partition, now, retention, left);
      const first = this.#oldest(state);
      if (first !== null && (oldestAt === null || first < oldestAt)) oldestAt = first;
    }
    return { more: left <= 0, oldestAt };
  }

  /** Deletes a partition's rows that are over the retention, at most `limit`. Answers how many rows it wrote. */
  trim(topic: string, partition: number, now: number, retention: Retention, limit: number): number {
    const state = this.#partition(topic, partition);
    if (state.id === null) return 0;
    const id = state.id;
    let bytes = state.bytes ?? this.#countBytes(id);
    type Old = { base: number; count: number; at: number; bytes: number };
    const rows = this.#sql
      .exec<Old>("select base, count, at, bytes from batches where partition = ? order by base limit ?", id, limit)
      .toArray();
    const old: Old[] = [];
    for (const row of rows) {
      if (row.at > now - retention.ms && bytes <= retention.bytes) break;
      if (row.bytes === 0) continue;
      old.push(row);
      bytes -= row.bytes;
    }
    state.bytes = bytes;
    const last = old.at(-1);
    if (last === undefined) return 0;
    const start = last.base + last.count;
    const emptied = start === state.end;
    this.#sql.exec("delete from batches where partition = ? and base < ?", id, emptied ? last.base : start);
    if (emptied) {
      this.#sql.exec(
        "update batches set bytes = 0, records = '[]', max_timestamp = -1 where partition = ? and base = ?",
        id,
        last.base,
      );
      state.tail = null;
    }
    state.start = start;
    return old.length;
  }

  /** Every partition that has held a record here, with its size. */
  sizes(): { topic: string; partition: number; start: number; end: number; bytes: number }[] {
    return [...this.#partitions.values()]
      .filter((state) => state.id !== null)
      .map((state) => {
        state.bytes ??= this.#countBytes(state.id ?? 0);
        return {
          topic: state.topic,
          partition: state.partition,
          start: state.start,
          end: state.end,
          bytes: state.bytes,
        };
      });
  }

  /** Whether a partition's size is over its bound; cheap once its size was counted. */
  isOver(topic: string, partition: number, retention: Retention): boolean {
    const state = this.#partition(topic, partition);
    if (state.id !== null) state.bytes ??= this.#countBytes(state.id);
    return (state.bytes ?? 0) > retention.bytes;
  }

  #partition(topic: string, partition: number): Partition {
    const key = partitionKey(topic, partition);
    let state = this.#partitions.get(key);
    if (state === undefined) {
      state = { id: null, topic, partition, start: 0, end: 0, bytes: 0, tail: null };
      this.#partitions.set(key, state);
    }
    return state;
  }

  #register(state: Partition): number {
    const id = this.#nextId++;
    this.#sql.exec("insert into partitions (id, topic, partition) values (?, ?, ?)", id, state.topic, state.partition);
    state.id = id;
    return id;
  }

  #storedBounds(id: number): Bounds {
    type Edge = { base: number; count: number; bytes: number };
    const edge = (order: "asc" | "desc"): Edge | undefined =>
      this.#sql
        .exec<Edge>(`select base, count, bytes from batches where partition = ? order by base ${order} limit 1`, id)
        .toArray()[0];
    const first = edge("asc");
    const last = edge("desc");
    if (first === undefined || last === undefined) return { start: 0, end: 0 };
    const end = last.base + last.count;
    return { start: first.bytes === 0 ? first.base + first.count : first.base, end };
  }

  #oldest(state: Partition): number | null {
    if (state.id === null || state.start === state.end) return null;
    const rows = this.#sql
      .exec<{ at: number }>("select at from batches where partition = ? and bytes > 0 order by base limit 1", state.id)
      .toArray();
    return rows[0]?.at ?? null;
  }

  #countBytes(id: number): number {
    const row = this.#sql
      .exec<{ bytes: number | null }>("select sum(bytes) as bytes from batches where partition = ?", id)
      .one();
    return row.bytes ?? 0;
  }
}
