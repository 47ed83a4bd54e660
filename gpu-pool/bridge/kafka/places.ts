/**
 * Where a member stands in each of its partitions: what to fetch next, what is buffered, and what was handed out but
 * not committed.
 */
import { recordBytes } from "./records.ts";
import type { RestRecord } from "./records.ts";

export type TopicPartition = { topic: string; partition: number };
export type TopicPartitionOffset = TopicPartition & { offset: number };

export type Place = TopicPartition & {
  /** The offset to fetch next. */
  position: bigint;
  buffer: RestRecord[];
  /**
   * The offset after the last record that was handed out, or where it begins in a group that has committed none; null
   * when there is nothing to commit.
   */
  delivered: bigint | null;
};

export class Places {
  readonly #places = new Map<string, Place>();
  readonly #weightOf: (topic: string) => number;
  #turn = 0;

  /** `weightOf` says how many records of a topic are handed out a turn, when several wait. */
  constructor(weightOf: (topic: string) => number) {
    this.#weightOf = weightOf;
  }

  get assignments(): { topic: string; partitions: number[] }[] {
    const byTopic = Map.groupBy(this.#places.values(), ({ topic }) => topic);
    return [...byTopic].map(([topic, places]) => ({
      topic,
      partitions: places.map(({ partition }) => partition).toSorted((a, b) => a - b),
    }));
  }

  get uncommitted(): TopicPartitionOffset[] {
    return [...this.#places.values()].flatMap(({ topic, partition, delivered }) =>
      delivered === null ? [] : [{ topic, partition, offset: Number(delivered) }],
    );
  }

  values(): Iterable<Place> {
    return this.#places.values();
  }

  get(at: TopicPartition): Place | undefined {
    return this.#places.get(keyOf(at));
  }

  /** `isCommitted`: it is the group's committed offset. */
  add({ topic, partition }: TopicPartition, position: bigint, isCommitted = true): void {
    const delivered = isCommitted ? null : position;
    this.#places.set(keyOf({ topic, partition }), { topic, partition, position, buffer: [], delivered });
  }

  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#places.keys()) if (!keys.has(key)) this.#places.delete(key);
  }

  clear(): void {
    this.#places.clear();
  }

  /** Takes at most `room` records out of the buffers, turn by turn, and always one if there is any. */
  drain(room: number, maxBytes: number): RestRecord[] {
    const waiting = [...this.#places.values()].filter((place) => place.buffer.length > 0);
    const start = this.#turn++;
    const order = waiting.map((_place, index) => waiting[(start + index) % waiting.length]);
    const taken: RestRecord[] = [];
    let bytes = 0;
    for (let before = -1; before < taken.length;) {
      before = taken.length;
      for (const place of order) {
        if (place === undefined) continue;
        for (let quota = this.#weightOf(place.topic); quota > 0; quota--) {
          const record = place.buffer[0];
          if (record === undefined) break;
          bytes += recordBytes(record);
          if (taken.length >= room || (taken.length > 0 && bytes > maxBytes)) return taken;
          place.buffer.shift();
          place.delivered = BigInt(record.offset) + 1n;
          taken.push(record);
        }
      }
    }
    return taken;
  }

  /** Puts records back that were taken and not handed over. Those of partitions that left meanwhile are dropped. */
  putBack(records: readonly RestRecord[]): void {
    for (const record of records.toReversed()) {
      const place = this.get(record);
      if (place === undefined) continue;
      const next = place.buffer[0]?.offset ?? Number(place.position);
      if (record.offset >= next) continue;
      place.buffer.unshift(record);
      place.delivered = BigInt(record.offset);
    }
  }

  /** Notes what was committed. */
  settle(committed: readonly TopicPartitionOffset[]): void {
    for (const entry of committed) {
      const place = this.get(entry);
      if (place?.delivered === BigInt(entry.offset)) place.delivered = null;
    }
  }
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}\n${partition}`;
}
