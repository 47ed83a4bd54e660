/**
 * One member of a consumer group that lives across requests. It fetches itself, from positions that it keeps, so that
 * it hands out no more than there is room for, and a rebalance costs nothing for the partitions that stay.
 *
 * idle → joining → ready ⇄ rebalancing → closed; a failed join or a lost membership leads back to idle, and the next
 * `take` joins again. Positions of partitions that leave are dropped with what was buffered; those that come start at
 * the group's committed offset.
 */
import { Consumer, ListOffsetTimestamps } from "@platformatic/kafka";
import type { BaseOptions, ClusterMetadata } from "@platformatic/kafka";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { Commits } from "./commits.ts";
import { translateError } from "./errors.ts";
import { createMembership } from "./membership.ts";
import type { GroupProtocol, Membership } from "./membership.ts";
import { readFetch, responseOf } from "./records.ts";
import { keyOf, Places } from "./places.ts";
import type { Place, TopicPartition, TopicPartitionOffset } from "./places.ts";
import type { FetchedPartition, FetchRequestTopic, RestRecord } from "./records.ts";

const FETCH_WAIT_MS = 2000;
const RETRY_PAUSE_MS = 200;
const OFFSET_OUT_OF_RANGE = 1;
/** The library refuses groups with blanks, which Kafka takes; it looks only when the consumer is made. */
const UNNAMED_GROUP = "unnamed";

export type OffsetReset = "earliest" | "latest" | "none";
export type MemberOptions = {
  client: BaseOptions;
  groupId: string;
  /** A static member's name: a process that starts again takes its place without a rebalance. */
  staticId?: string;
  /** `classic` unless it says otherwise. */
  protocol?: GroupProtocol;
  topics: readonly string[];
  offsetReset: OffsetReset;
  sessionTimeoutMs: number;
  heartbeatIntervalMs: number;
  maxFetchBytes: number;
  /** How many records of a topic to hand out a turn, when several topics wait. */
  weightOf?: (topic: string) => number;
};

export type TakeLimits = { room: number; maxBytes: number; waitMs: number; signal?: AbortSignal };

type StartingPoint = TopicPartition & { position: bigint; isCommitted: boolean };

export class GroupMember {
  readonly #options: MemberOptions;
  readonly #consumer: Consumer;
  readonly #membership: Membership;
  readonly #places: Places;
  readonly #commits: Commits;
  readonly #fetching = new Set<number>();
  readonly #wakers = new Set<() => void>();
  #topics: string[];
  #state: "idle" | "joining" | "ready" | "rebalancing" | "closed" = "idle";
  #memberId: string | null = null;
  #failure: EdgeplaneError | null = null;
  /** What went wrong with the last fetch; told when a `take` would end with nothing. */
  #trouble: EdgeplaneError | null = null;
  #layout: string | null = null;
  #settled = false;
  #joins = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#topics = [...options.topics];
    this.#places = new Places(options.weightOf ?? (() => 1));
    this.#membership = createMembership(options.protocol ?? "classic", options.staticId);
    this.#consumer = new Consumer({
      ...options.client,
      groupId: UNNAMED_GROUP,
      autocommit: false,
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: Math.max(options.sessionTimeoutMs, 10_000),
      heartbeatInterval: options.heartbeatIntervalMs,
      ...this.#membership.options,
    });
    this.#consumer.groupId = options.groupId;
    this.#commits = new Commits(this.#consumer, this.#places);
    this.#consumer.on("error", (error: Error) => this.#fail(error));
    this.#membership.watch(this.#consumer, {
      assigned: () => void this.#refresh(),
      changing: () => {
        if (this.#state === "ready") this.#state = "rebalancing";
      },
      expelled: () => {
        this.#places.clear();
        this.#commits.dropMoved();
      },
      lost: (error) => this.#fail(error),
    });
  }

  get topics(): readonly string[] {
    return this.#topics;
  }

  /** Whether it has been given its share, be that none, since it joined. */
  get settled(): boolean {
    return this.#settled;
  }

  /** The partitions that it holds. */
  get assignments(): { topic: string; partitions: number[] }[] {
    return this.#places.assignments;
  }

  /** Whether something was handed out that was not committed. */
  get hasUncommitted(): boolean {
    return this.#places.uncommitted.length > 0;
  }

  /** Changes what it reads; the group is rebalanced when that differs from before. */
  async subscribe(topics: readonly string[]): Promise<void> {
    const wanted = new Set(topics);
    if (wanted.size === this.#topics.length && this.#topics.every((topic) => wanted.has(topic))) return;
    const before = this.#topics;
    this.#topics = [...wanted];
    if (this.#state === "idle") return;
    for (const topic of before) if (!wanted.has(topic)) this.#consumer.topics.untrack(topic);
    this.#state = "rebalancing";
    try {
      await this.#membership.join(this.#consumer, this.#topics);
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Hands out at most `room` records, waiting up to `waitMs` for the first one; joins the group when it is no member.
   * Empty while the group is being formed. Throws what keeps it from joining or reading.
   */
  async take({ room, maxBytes, waitMs, signal }: TakeLimits): Promise<RestRecord[]> {
    const until = performance.now() + waitMs;
    if (this.#state === "closed") throw new EdgeplaneError("unknown_member", "The consumer instance was removed.");
    if (this.#state === "idle") this.#join();
    for (;;) {
      const failure = this.#failure;
      if (failure !== null) {
        this.#failure = null;
        throw failure;
      }
      if (room > 0) {
        const records = this.#places.drain(room, maxBytes);
        if (records.length > 0) return records;
      }
      const left = until - performance.now();
      if (left <= 0 || signal?.aborted === true || this.#isClosed()) {
        if (this.#trouble !== null && room > 0) throw this.#trouble;
        return [];
      }
      if (this.#state === "ready" && room > 0) void this.#pump(left);
      await this.#wait(left, signal);
    }
  }

  /** Takes back records that could not be handed over; the next `take` begins with them. */
  putBack(records: readonly RestRecord[]): void {
    this.#places.putBack(records);
  }

  /**
   * Commits these offsets as they are; without any, all that was handed out. Throws `unknown_member` where a partition
   * was given to others before its offset was stored.
   */
  async commit(offsets?: readonly TopicPartitionOffset[]): Promise<void> {
    await this.#commits.send(offsets);
  }

  /** Leaves the group; its partitions go to others. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#places.clear();
    this.#wake();
    await this.#consumer.close(true).catch(() => {});
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }

  #join(): void {
    this.#state = "joining";
    this.#layout = null;
    this.#membership.join(this.#consumer, this.#topics).catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (this.#state === "closed") return;
    this.#state = "idle";
    this.#settled = false;
    this.#failure = translateError(error, `group "${this.#options.groupId}"`);
    this.#wake();
  }

  async #refresh(): Promise<void> {
    const join = ++this.#joins;
    if (this.#state === "closed") return;
    if (this.#memberId !== this.#consumer.memberId) this.#places.clear();
    this.#memberId = this.#consumer.memberId;
    const assigned = this.#consumer.assignments ?? [];
    const keys = new Set(
      assigned.flatMap(({ topic, partitions }) => partitions.map((partition) => keyOf({ topic, partition }))),
    );
    this.#places.keepOnly(keys);
    this.#commits.dropMoved();
    const missing = assigned
      .map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.filter((partition) => this.#places.get({ topic, partition }) === undefined),
      }))
      .filter(({ partitions }) => partitions.length > 0);
    try {
      const found = missing.length === 0 ? [] : await this.#startingPoints(missing);
      if (join !== this.#joins || this.#isClosed()) return;
      for (const { topic, partition, position, isCommitted } of found) {
        this.#places.add({ topic, partition }, position, isCommitted);
      }
      this.#state = "ready";
      this.#settled = true;
      this.#wake();
    } catch (error) {
      if (join === this.#joins) this.#fail(error);
    }
  }

  async #startingPoints(missing: { topic: string; partitions: number[] }[]): Promise<StartingPoint[]> {
    const committed = await this.#consumer.listCommittedOffsets({ topics: missing });
    const result: StartingPoint[] = [];
    const unknown: { topic: string; partitions: number[] }[] = [];
    for (const { topic, partitions } of missing) {
      const none: number[] = [];
      for (const partition of partitions) {
        const position = committed.get(topic)?.[partition] ?? -1n;
        if (position >= 0n) result.push({ topic, partition, position, isCommitted: true });
        else none.push(partition);
      }
      if (none.length > 0) unknown.push({ topic, partitions: none });
    }
    if (unknown.length === 0) return result;
    const { offsetReset } = this.#options;
    if (offsetReset === "none") {
      const where = unknown.map(({ topic, partitions }) => `${topic} ${partitions.join(",")}`).join("; ");
      throw new EdgeplaneError(
        "offset_out_of_range",
        `The group has no committed offset for ${where}, and auto offset reset is none.`,
      );
    }
    const offsets = await this.#consumer.listOffsets({
      topics: unknown.map(({ topic }) => topic),
      partitions: Object.fromEntries(unknown.map(({ topic, partitions }) => [topic, partitions])),
      timestamp: offsetReset === "earliest" ? ListOffsetTimestamps.EARLIEST : ListOffsetTimestamps.LATEST,
    });
    for (const { topic, partitions } of unknown) {
      for (const partition of partitions)
        result.push({ topic, partition, position: offsets.get(topic)?.[partition] ?? 0n, isCommitted: false });
    }
    return result;
  }

  async #pump(leftMs: number): Promise<void> {
    try {
      const metadata = await this.#consumer.metadata({ topics: [...this.#topics] });
      const names = new Map([...metadata.topics].map(([name, topic]) => [topic.id, name]));
      const byLeader = new Map<number, Place[]>();
      for (const place of this.#places.values()) {
        const leader = metadata.topics.get(place.topic)?.partitions[place.partition]?.leader ?? -1;
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), place]);
      }
      for (const [leader, places] of byLeader) {
        if (this.#fetching.has(leader) || !metadata.brokers.has(leader)) continue;
        this.#fetching.add(leader);
        void this.#fetch(leader, places, names, Math.min(leftMs, FETCH_WAIT_MS));
      }
      this.#noticeNewPartitions(metadata);
    } catch (error) {
      await this.#stumble(error);
    }
  }

  #noticeNewPartitions(metadata: ClusterMetadata): void {
    const layout = [...metadata.topics].map(([name, topic]) => `${name}:${topic.partitionsCount}`).join();
    const changed = this.#layout !== null && this.#layout !== layout && this.#state === "ready";
    this.#layout = layout;
    if (!changed || !this.#membership.joinsForNewPartitions) return;
    this.#state = "rebalancing";
    this.#membership.join(this.#consumer, this.#topics).catch((error: unknown) => this.#fail(error));
  }

  async #fetch(leader: number, places: Place[], names: ReadonlyMap<string, string>, waitMs: number): Promise<void> {
    const { maxFetchBytes } = this.#options;
    const ids = new Map([...names].map(([id, name]) => [name, id]));
    const topics = new Map<string, FetchRequestTopic>();
    const asked = new Map(places.map((place) => [keyOf(place), place.position]));
    for (const place of places) {
      const topic = topics.get(place.topic) ?? { topicId: ids.get(place.topic) ?? "", partitions: [] };
      topics.set(place.topic, topic);
      const epochs = { currentLeaderEpoch: -1, lastFetchedEpoch: -1 };
      topic.partitions.push({
        partition: place.partition,
        fetchOffset: place.position,
        partitionMaxBytes: maxFetchBytes,
        ...epochs,
      });
    }
    try {
      const response = await this.#consumer
        .fetch({
          node: leader,
          topics: [...topics.values()],
          maxWaitTime: Math.max(1, Math.round(waitMs)),
          minBytes: 1,
          maxBytes: maxFetchBytes,
        })
        .catch(responseOf);
      const fetched = readFetch(response, names, (topic, partition) => asked.get(keyOf({ topic, partition })));
      this.#trouble = null;
      for (const partition of fetched) this.#accept(partition, asked);
    } catch (error) {
      await this.#stumble(error);
    } finally {
      this.#fetching.delete(leader);
      this.#wake();
    }
  }

  async #stumble(error: unknown): Promise<void> {
    const failure = translateError(error, `group "${this.#options.groupId}"`);
    if (failure.code === "unavailable") this.#trouble = failure;
    else this.#failure = failure;
    await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
  }

  #accept(fetched: FetchedPartition, asked: ReadonlyMap<string, bigint>): void {
    const place = this.#places.get(fetched);
    if (place === undefined || place.position !== asked.get(keyOf(fetched))) return;
    if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
      if (this.#options.offsetReset === "none") {
        const message = `Offset ${place.position} of ${place.topic} ${place.partition} is no longer there, and auto offset reset is none.`;
        this.#failure = new EdgeplaneError("offset_out_of_range", message);
        return;
      }
      const start = this.#options.offsetReset === "earliest" || place.position < fetched.logStartOffset;
      place.position = start ? fetched.logStartOffset : fetched.highWatermark;
      return;
    }
    place.buffer.push(...fetched.records);
    place.position = fetched.nextOffset;
  }

  async #wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wakers.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wakers.add(done);
      signal?.addEventListener("abort", done);
    });
  }

  #wake(): void {
    for (const waker of this.#wakers) waker();
  }
}
