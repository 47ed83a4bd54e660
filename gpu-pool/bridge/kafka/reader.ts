/** What needs no consumer group: fetching by offset, listing offsets, reading a group's commits, and lag. */
import { Consumer, findErrorBy } from "@platformatic/kafka";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { mayHaveMore } from "../shares.ts";
import { clientOptions } from "./cluster.ts";
import type { Cluster } from "./cluster.ts";
import { translateError } from "./errors.ts";
import { keyOf } from "./places.ts";
import type { TopicPartition, TopicPartitionOffset } from "./places.ts";
import { readFetch, recordBytes } from "./records.ts";
import type { FetchRequestTopic, RestRecord } from "./records.ts";

const MAX_READERS = 32;
/** One request to a leader waits so long at most: the client gives up on its answer after `requestTimeout`. */
const WAIT_MS = 2000;
/** Where there are several leaders: what one of them gets meanwhile is answered so much later at most. */
const SHARED_WAIT_MS = 500;
const EARLIEST = -2n;
const LATEST = -1n;

/** `user`: who fetches. */
export type FetchLimits = {
  waitMs: number;
  maxRecords: number;
  maxBytes: number;
  signal?: AbortSignal;
  user?: string;
};

export class Reader {
  readonly #cluster: Cluster;
  readonly #idle: Consumer[] = [];
  readonly #isAlone: boolean;
  /** Readers in use, by user. */
  readonly #used = new Map<string, number>();
  #made = 0;

  /** `isAlone`: there is one user. */
  constructor(cluster: Cluster, isAlone = true) {
    this.#cluster = cluster;
    this.#isAlone = isAlone;
  }

  /**
   * Reads from the offsets given, waiting up to `waitMs` for a first record; answers in the order of the partitions.
   * Any of them may be read first: one that always fills a reply leaves other replies to the others. Throws
   * `offset_out_of_range`, `topic_not_found`, `rate_limited`.
   */
  async fetch(given: readonly TopicPartitionOffset[], limits: FetchLimits): Promise<RestRecord[]> {
    await this.#cluster.checkPartitions(given);
    const places = new Map(given.map((entry, place) => [keyOf(entry), place] as const).toReversed());
    const named = given.filter((entry, place) => places.get(keyOf(entry)) === place);
    const first = Math.floor(Math.random() * named.length);
    const partitions = [...named.slice(first), ...named.slice(0, first)];
    const { user = "" } = limits;
    const byLeader = new Map<number, Map<string, FetchRequestTopic>>();
    const names = new Map<string, string>();
    const asked = new Map<string, bigint>();
    for (const { topic, partition, offset } of partitions) {
      const info = await this.#cluster.topic(topic);
      const leader = info.leaders[partition] ?? -1;
      names.set(info.id, topic);
      asked.set(keyOf({ topic, partition }), BigInt(offset));
      const topics = byLeader.get(leader) ?? new Map<string, FetchRequestTopic>();
      byLeader.set(leader, topics);
      const entry = topics.get(topic) ?? { topicId: info.id, partitions: [] };
      topics.set(topic, entry);
      const epochs = { currentLeaderEpoch: -1, lastFetchedEpoch: -1 };
      entry.partitions.push({ partition, fetchOffset: BigInt(offset), partitionMaxBytes: limits.maxBytes, ...epochs });
    }
    const until = performance.now() + limits.waitMs;
    const isShared = byLeader.size > 1;
    const records: RestRecord[] = [];
    // None of several waits before all of them have told what they have.
    for (let waitMs = isShared ? 0 : WAIT_MS; ; waitMs = isShared ? SHARED_WAIT_MS : WAIT_MS) {
      const leftMs = Math.min(waitMs, until - performance.now());
      const answers = [...byLeader].map(async ([node, topics]) =>
        this.#fetchFrom(node, [...topics.values()], names, asked, { waitMs: leftMs, maxBytes: limits.maxBytes, user }),
      );
      for (const answer of await Promise.all(answers)) records.push(...answer);
      if (records.length > 0 || performance.now() >= until || limits.signal?.aborted === true) break;
    }
    const turnOf = new Map(partitions.map((entry, turn) => [keyOf(entry), turn]));
    const taken: RestRecord[] = [];
    let bytes = 0;
    for (const record of inOrder(records, (one) => turnOf.get(keyOf(one)) ?? 0)) {
      bytes += recordBytes(record);
      if (taken.length >= limits.maxRecords || (taken.length > 0 && bytes > limits.maxBytes)) break;
      taken.push(record);
    }
    return inOrder(taken, (one) => places.get(keyOf(one)) ?? 0);
  }

  /**
   * The earliest offset, the next one, or the first whose record is not older than a time in ms; -1 where there is
   * none.
   */
  async offsets(
    partitions: readonly TopicPartition[],
    at: "earliest" | "latest" | number,
  ): Promise<TopicPartitionOffset[]> {
    const timestamp = at === "earliest" ? EARLIEST : at === "latest" ? LATEST : BigInt(at);
    await this.#cluster.checkPartitions(partitions);
    const topics = byTopic(partitions);
    if (topics.length === 0) return [];
    try {
      const listed = await this.#cluster.admin.listOffsets({
        topics: topics.map(([name, indexes]) => ({
          name,
          partitions: indexes.map((partitionIndex) => ({ partitionIndex, timestamp })),
        })),
      });
      const found = new Map(
        listed.flatMap((topic) =>
          topic.partitions.map((entry) => [`${topic.name}\n${entry.partitionIndex}`, Number(entry.offset)]),
        ),
      );
      return partitions.map(({ topic, partition }) => ({
        topic,
        partition,
        offset: found.get(`${topic}\n${partition}`) ?? -1,
      }));
    } catch (error) {
      throw translateError(error);
    }
  }

  /** What the group has committed; -1 where it has not. Without partitions: all that it has committed. */
  async committed(groupId: string, partitions: readonly TopicPartition[] | undefined): Promise<TopicPartitionOffset[]> {
    const topics = byTopic(partitions ?? []);
    await this.#cluster.checkPartitions(partitions ?? []);
    const group =
      partitions === undefined
        ? groupId
        : { groupId, topics: topics.map(([name, partitionIndexes]) => ({ name, partitionIndexes })) };
    try {
      const [answer] = await this.#cluster.admin.listConsumerGroupOffsets({ groups: [group] });
      const found = (answer?.topics ?? []).flatMap((topic) =>
        topic.partitions.map((entry) => ({
          topic: topic.name,
          partition: entry.partitionIndex,
          offset: Number(entry.committedOffset),
        })),
      );
      if (partitions === undefined) return found;
      const offsets = new Map(found.map((entry) => [`${entry.topic}\n${entry.partition}`, entry.offset]));
      return partitions.map(({ topic, partition }) => ({
        topic,
        partition,
        offset: offsets.get(`${topic}\n${partition}`) ?? -1,
      }));
    } catch (error) {
      throw translateError(error, `group "${groupId}"`);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#idle.map(async (reader) => reader.close(true).catch(() => {})));
  }

  async #fetchFrom(
    node: number,
    topics: FetchRequestTopic[],
    names: ReadonlyMap<string, string>,
    asked: ReadonlyMap<string, bigint>,
    { waitMs, maxBytes, user }: { waitMs: number; maxBytes: number; user: string },
  ): Promise<RestRecord[]> {
    const reader = this.#borrow(user);
    const topicNames = topics.map((topic) => names.get(topic.topicId) ?? "");
    reader.topics.trackAll(...topicNames);
    try {
      const response = await reader.fetch({
        node,
        topics,
        maxWaitTime: Math.max(1, Math.round(waitMs)),
        minBytes: 1,
        maxBytes,
      });
      return readFetch(response, names, (topic, partition) => asked.get(keyOf({ topic, partition }))).flatMap(
        ({ records }) => records,
      );
    } catch (error) {
      if (error instanceof Error && findErrorBy(error, "apiId", "OFFSET_OUT_OF_RANGE") !== null) {
        throw new EdgeplaneError(
          "offset_out_of_range",
          "An offset is outside of what its partition holds: ask /offsets/earliest and /offsets/latest.",
          { cause: error },
        );
      }
      throw translateError(error);
    } finally {
      reader.topics.untrackAll(...topicNames);
      this.#idle.push(reader);
      this.#used.set(user, (this.#used.get(user) ?? 1) - 1);
    }
  }

  #borrow(user: string): Consumer {
    const own = this.#used.get(user) ?? 0;
    const all = this.#made - this.#idle.length;
    if (!mayHaveMore(own, all, MAX_READERS, this.#isAlone)) {
      const text = all < MAX_READERS ? `${own} fetches of this user` : `${MAX_READERS} fetches`;
      throw new EdgeplaneError("rate_limited", `${text} are running already.`, { retryAfterMs: 1000 });
    }
    const reader = this.#idle.pop() ?? this.#make();
    this.#used.set(user, own + 1);
    return reader;
  }

  #make(): Consumer {
    const options = clientOptions(this.#cluster.settings);
    const reader = new Consumer({ ...options, groupId: `${options.clientId}-reader`, autocommit: false });
    reader.on("error", () => {});
    this.#made++;
    return reader;
  }
}

/** Those of one place keep their order. */
function inOrder(records: readonly RestRecord[], placeOf: (record: RestRecord) => number): RestRecord[] {
  return records.toSorted((a, b) => placeOf(a) - placeOf(b));
}

/** The partitions of each topic, each once: a request that names one twice is refused by the cluster. */
function byTopic(partitions: readonly TopicPartition[]): [topic: string, partitions: number[]][] {
  const topics = Map.groupBy(partitions, ({ topic }) => topic);
  return [...topics].map(([topic, list]) => [topic, [...new Set(list.map(({ partition }) => partition))]]);
}
