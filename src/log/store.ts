/**
 * The records of a broker's partitions, in SQLite.
 *
 * A partition's next offset is what its newest row says (`base + count`); retention never deletes that row, it only
 * empties it. So an append writes one row, and an offset is never given twice, restarts included. Each row also carries
 * what all rows of its partition up to it have taken (`total`), so that a size is the difference of two rows. Nothing
 * but the topics is read at a start.
 */
import { answerLength, decodeBatch, encodeBatches, toMessage } from "./batch.ts";
import type { StoredRecord } from "./batch.ts";
import { partitionKey } from "./names.ts";
import type { Append, Appended, LogMessage, OffsetQuery } from "./protocol.ts";
import { openLogSchema } from "./schema.ts";
import { Topics } from "./topics.ts";

export type Bounds = { start: number; end: number };
export type Retention = { ms: number; bytes: number };
export type Slice = { messages: LogMessage[]; next: number };

type Partition = Bounds & {
  id: number | null;
  topic: string;
  partition: number;
  bytes: number;
  /** What its rows have ever taken, the newest included. */
  total: number;
  /** The newest batch, kept decoded while small: whoever waits for it gets it without a query. */
  tail: { base: number; records: (StoredRecord | null)[] } | null;
};
type BatchRow = { base: number; count: number; records: string };
export type ReadLimits = { records: number; bytes: number };

const TAIL_BYTES = 16_384;
/** Rows that one sweep deletes at most; each counts as written. */
export const SWEEP_ROWS = 500;
/** Partitions that one sweep looks at. */
const SWEEP_PARTITIONS = 500;
/** Partitions that are remembered. */
const MAX_REMEMBERED = 5000;

export class PartitionStore {
  readonly topics: Topics;
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #partitions = new Map<string, Partition>();
  /** Where the next sweep goes on, and the oldest row that it has seen since it began. */
  #sweep = { id: 0, oldestAt: null as number | null };

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    openLogSchema(this.#sql);
    this.topics = new Topics(this.#sql);
  }

  /** Appends all or nothing. Each record takes `copies` offsets in a row (1 but for test faults). */
  append(appends: readonly Append[], now: number, copies: number, lost: () => boolean): Appended[] {
    this.#makeRoom();
    const done: { partition: Partition; end: number; bytes: number; total: number; tail: Partition["tail"] }[] = [];
    const fresh: Partition[] = [];
    const freshTopics = appends.map((append) => append.topic).filter((topic) => !this.topics.has(topic));
    const write = (): Appended[] =>
      appends.map((append) => {
        this.topics.add(append.topic, append.partitionCount, append.owner);
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
        let total = earlier?.total ?? partition.total;
        for (const batch of encodeBatches(records, now, lost)) {
          total += batch.bytes;
          this.#sql.exec(
            "insert into batches (partition, base, count, at, max_timestamp, bytes, records, total) values (?, ?, ?, ?, ?, ?, ?, ?)",
            id,
            base,
            batch.count,
            now,
            batch.maxTimestamp,
            batch.bytes,
            batch.text,
            total,
          );
          tail = batch.bytes <= TAIL_BYTES ? { base, records: decodeBatch(batch.text) } : null;
          base += batch.count;
          bytes += batch.bytes;
        }
        done.push({ partition, end: base, bytes, total, tail });
        const timestamps = append.records.map((record) => record.timestamp ?? now);
        return { baseOffset, timestamps, stride: copies };
      });
    let results: Appended[];
    try {
      results = this.#storage.transactionSync(write);
    } catch (error) {
      // The rows were rolled back; what memory says of them must be too.
      for (const partition of fresh) partition.id = null;
      for (const topic of freshTopics) this.topics.forget(topic);
      throw error;
    }
    for (const { partition, end, bytes, total, tail } of done) {
      Object.assign(partition, { end, total, tail });
      this.#resize(partition, bytes);
    }
    return results;
  }

  bounds(topic: string, partition: number): Bounds {
    const { start, end } = this.#open(topic, partition);
    return { start, end };
  }

  /** Records from offset `from`, which must be within the bounds, and the offset after the last that was looked at. */
  read(topic: string, partition: number, from: number, limits: ReadLimits): Slice {
    const state = this.#open(topic, partition);
    const messages: LogMessage[] = [];
    let next = from;
    let bytes = 0;
    if (from >= state.end || state.id === null) return { messages, next };
    const add = (base: number, records: (StoredRecord | null)[]): boolean => {
      for (let index = Math.max(0, from - base); index < records.length; index++) {
        const record = records[index];
        if (messages.length >= limits.records) return false;
        if (record) {
          bytes += answerLength(record);
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
    const state = this.#open(topic, partition);
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

  /**
   * Deletes what is over the retention, at most `SWEEP_ROWS` rows, of the next partitions. Answers whether more is due,
   * and, where it is through with all of them, the oldest row's time.
   */
  sweep(now: number, retention: Retention): { more: boolean; oldestAt: number | null } {
    let left = SWEEP_ROWS;
    type PartitionRow = { id: number; topic: string; partition: number };
    const page = this.#sql
      .exec<PartitionRow>(
        "select id, topic, partition from partitions where id > ? order by id limit ?",
        this.#sweep.id,
        SWEEP_PARTITIONS,
      )
      .toArray();
    for (const { id, topic, partition } of page) {
      left -= this.trim(topic, partition, now, retention, left);
      if (left <= 0) return { more: true, oldestAt: null };
      const first = this.#oldest(this.#open(topic, partition));
      this.#sweep = { id, oldestAt: Math.min(first ?? Infinity, this.#sweep.oldestAt ?? Infinity) };
    }
    if (page.length === SWEEP_PARTITIONS) return { more: true, oldestAt: null };
    const { oldestAt } = this.#sweep;
    this.#sweep = { id: 0, oldestAt: null };
    return { more: false, oldestAt: oldestAt === Infinity ? null : oldestAt };
  }

  /** Deletes a partition's rows that are over the retention, at most `limit`. Answers how many rows it wrote. */
  trim(topic: string, partition: number, now: number, retention: Retention, limit: number): number {
    const state = this.#open(topic, partition);
    if (state.id === null) return 0;
    const id = state.id;
    let { bytes } = state;
    type Old = { base: number; count: number; at: number; bytes: number };
    const rows = this.#sql.exec<Old>(
      "select base, count, at, bytes from batches where partition = ? order by base limit ?",
      id,
      limit,
    );
    const old: Old[] = [];
    for (const row of rows) {
      if (row.at > now - retention.ms && bytes <= retention.bytes) break;
      if (row.bytes === 0) continue;
      old.push(row);
      bytes = Math.max(0, bytes - row.bytes);
    }
    this.#resize(state, bytes - state.bytes);
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

  /** Whether a partition's size is over its bound. */
  isOver(topic: string, partition: number, retention: Retention): boolean {
    return this.#open(topic, partition).bytes > retention.bytes;
  }

  #makeRoom(): void {
    if (this.#partitions.size >= MAX_REMEMBERED) this.#partitions.clear();
  }

  #open(topic: string, partition: number): Partition {
    this.#makeRoom();
    return this.#partition(topic, partition);
  }

  #partition(topic: string, partition: number): Partition {
    const key = partitionKey(topic, partition);
    let state = this.#partitions.get(key);
    if (state === undefined) {
      const [row] = this.#sql
        .exec<{ id: number }>("select id from partitions where topic = ? and partition = ?", topic, partition)
        .toArray();
      state = { id: row?.id ?? null, topic, partition, ...this.#stored(row?.id ?? null), tail: null };
      this.#partitions.set(key, state);
    }
    return state;
  }

  #register(state: Partition): number {
    const { last } = this.#sql.exec<{ last: number | null }>("select max(id) as last from partitions").one();
    const id = (last ?? 0) + 1;
    this.#sql.exec("insert into partitions (id, topic, partition) values (?, ?, ?)", id, state.topic, state.partition);
    state.id = id;
    return id;
  }

  /** The partition's size has changed by so much, and its topic's owner has so much more. */
  #resize(state: Partition, by: number): void {
    state.bytes += by;
    this.topics.resize(state.topic, by);
  }

  /** Where a partition begins and ends, and what it takes, by its first and its last row. */
  #stored(id: number | null): Bounds & Pick<Partition, "bytes" | "total"> {
    type Edge = { base: number; count: number; bytes: number; total: number };
    const edge = (order: "asc" | "desc"): Edge | undefined =>
      this.#sql
        .exec<Edge>(
          `select base, count, bytes, total from batches where partition = ? order by base ${order} limit 1`,
          id,
        )
        .toArray()[0];
    const first = id === null ? undefined : edge("asc");
    const last = id === null ? undefined : edge("desc");
    if (first === undefined || last === undefined) return { start: 0, end: 0, bytes: 0, total: 0 };
    return {
      start: first.bytes === 0 ? first.base + first.count : first.base,
      end: last.base + last.count,
      bytes: Math.max(0, last.total - first.total + first.bytes),
      total: last.total,
    };
  }

  #oldest(state: Partition): number | null {
    if (state.id === null || state.start === state.end) return null;
    const rows = this.#sql
      .exec<{ at: number }>("select at from batches where partition = ? and bytes > 0 order by base limit 1", state.id)
      .toArray();
    return rows[0]?.at ?? null;
  }
}
