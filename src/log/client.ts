/**
 * The embedded log as the Worker sees it: finds each partition's broker, fans calls out and merges the answers. A
 * topic's partition count is kept by the broker of its partition 0 and never changes, so an isolate asks for it once.
 */
import { EdgeplaneError } from "../contract/errors.ts";
import { checkTimestamp, DEFAULT_MAX_AHEAD_MS, recordTooLarge } from "../contract/kafka-limits.ts";
import { isTopicName, noTopicName } from "../contract/kafka-names.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { consumeFromAll, consumeFromOne, fetchFromAll } from "./fan-out.ts";
import { brokerName, brokerOf, partitionKey } from "./names.ts";
import { createKeylessTurns, keyedPartition } from "./partitioner.ts";
import { MAX_RECORD_BYTES, recordBytes } from "./batch.ts";
import { unwrap } from "./protocol.ts";
import type {
  Append,
  AppendRecord,
  GroupAssignment,
  InstanceRef,
  LogFaults,
  LogMessage,
  MemberOptions,
  OffsetQuery,
  OwnedTopic,
  TopicInfo,
  TopicPartition,
  TopicPartitionOffset,
} from "./protocol.ts";
import type { LogRecord, ProducedRecord } from "./types.ts";

export type LogEnv = Pick<Env, "LOG" | "LOG_BROKERS" | "LOG_PARTITIONS">;
export type Broker = ReturnType<LogEnv["LOG"]["get"]>;

export type ProduceRecord = LogRecord & { partition?: number; timestamp?: number };

export type ConsumeCall = {
  ref: InstanceRef;
  topics: string[];
  options: MemberOptions;
  room: number;
  timeoutMs: number;
  /** Ask this broker only. */
  broker: number | null;
  /** Whether a topic that isn't there is made. */
  create: (topic: string) => boolean;
};

const knownTopics = new Map<string, OwnedTopic>();
const keylessTurn = createKeylessTurns();

export type LogClient = ReturnType<typeof createLogClient>;

/** A client of the brokers of `env`. Cheap: it holds nothing. */
export function createLogClient(env: LogEnv) {
  const count = numericVar(env, "LOG_BROKERS");
  const partitions = numericVar(env, "LOG_PARTITIONS");
  const broker = (index: number): Broker => objectNamed(env.LOG, brokerName(index));
  const all = (): Broker[] => Array.from({ length: count }, (_, index) => broker(index));
  /** Asks every broker what may be asked twice. */
  const askAll = <T>(ask: (target: Broker) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => callObject(() => ask(broker(index)))));

  /** The topic; with `create`, made for `principal` where it isn't there. */
  async function topicOf(topic: string, create: boolean, principal: string | null): Promise<OwnedTopic> {
    const known = knownTopics.get(topic);
    if (known !== undefined) return known;
    if (!isTopicName(topic)) throw new EdgeplaneError("invalid_request", `${noTopicName(topic)}.`);
    const home = brokerOf(topic, 0, count);
    const ensure = (most: number, elsewhere: number) =>
      callObject(async () => unwrap<OwnedTopic>(await broker(home).ensureTopic(topic, most, principal, elsewhere)));
    const isSpread = create && count > 1 && principal !== null;
    const there = isSpread ? await ensure(0, 0) : null;
    const found =
      there !== null && there.partitions > 0
        ? there
        : await ensure(create ? partitions : 0, isSpread ? await madeElsewhere(principal, home) : 0);
    if (found.partitions === 0) {
      throw new EdgeplaneError(
        "topic_not_found",
        `Topic \`${topic}\` doesn't exist, and these credentials may not create it; check the name, or produce to it with credentials that may create topics.`,
      );
    }
    if (knownTopics.size > 10_000) knownTopics.clear();
    knownTopics.set(topic, found);
    return found;
  }

  /**
   * How many topics `principal` has made that live at other brokers than `home`: what it may have is of all together.
   */
  async function madeElsewhere(principal: string, home: number): Promise<number> {
    const topics = await askAll((target) => target.topicsOf(principal));
    return new Set(topics.flat().filter((topic) => brokerOf(topic, 0, count) !== home)).size;
  }

  async function topicsOf(
    topics: Iterable<string>,
    create: (topic: string) => boolean,
    principal: string | null,
  ): Promise<Map<string, OwnedTopic>> {
    const names = [...new Set(topics)];
    const entries = names.map(async (name) => [name, await topicOf(name, create(name), principal)] as const);
    return new Map(await Promise.all(entries));
  }

  async function checkPartitions(entries: readonly TopicPartition[]): Promise<void> {
    const known = await topicsOf(
      entries.map((entry) => entry.topic),
      () => false,
      null,
    );
    for (const { topic, partition } of entries) checkPartition(topic, partition, known.get(topic)?.partitions ?? 0);
  }

  /** Runs `call` once per broker with the entries that live there, and puts the answers back in the entries' order. */
  async function perBroker<T extends TopicPartition, R>(
    entries: readonly T[],
    call: (index: number, own: T[]) => Promise<readonly R[]>,
  ): Promise<R[]> {
    const groups = Map.groupBy(
      entries.map((entry, index) => ({ entry, index })),
      ({ entry }) => brokerOf(entry.topic, entry.partition, count),
    );
    const placed: { index: number; result: R }[] = [];
    await Promise.all(
      [...groups].map(async ([index, own]) => {
        const results = await call(
          index,
          own.map(({ entry }) => entry),
        );
        own.forEach((item, at) => {
          const result = results[at];
          if (result !== undefined) placed.push({ index: item.index, result });
        });
      }),
    );
    return placed.toSorted((a, b) => a.index - b.index).map(({ result }) => result);
  }

  /**
   * Appends all records of each broker at once; one call a broker. Answers in the records' order. `principal`: the user
   * that produces; null: the edge.
   */
  async function produce(
    records: readonly ProduceRecord[],
    create: (topic: string) => boolean,
    principal: string | null,
  ): Promise<ProducedRecord[]> {
    const known = await topicsOf(
      records.map((record) => record.topic),
      create,
      principal,
    );
    const appends = new Map<string, Append & { indexes: number[] }>();
    records.forEach((record, index) => {
      const { partitions: partitionCount, owner } = known.get(record.topic) ?? { partitions: 1, owner: null };
      const partition = record.partition ?? choosePartition(record, partitionCount);
      checkPartition(record.topic, partition, partitionCount);
      const key = partitionKey(record.topic, partition);
      const append = appends.get(key) ?? {
        topic: record.topic,
        partition,
        partitionCount,
        owner,
        records: [],
        indexes: [],
      };
      append.records.push(toAppendRecord(record, index));
      append.indexes.push(index);
      appends.set(key, append);
    });
    const appended = await perBroker([...appends.values()], async (index, own) =>
      // Called once: what was appended before its answer was lost would be appended again. Who produces decides.
      unwrap(
        await broker(index).produce(
          own.map((append) => ({ ...append, indexes: undefined })),
          principal,
        ),
      ),
    );
    const produced: ProducedRecord[] = [];
    [...appends.values()].forEach((append, at) => {
      const result = appended[at];
      if (result === undefined) return;
      append.indexes.forEach((index, place) => {
        const timestamp = result.timestamps[place] ?? 0;
        const offset = result.baseOffset + place * result.stride;
        produced[index] = { topic: append.topic, partition: append.partition, offset, timestamp };
      });
    });
    return produced;
  }

  /** Records for a group's instance. With several brokers, the first that have some answer, within the room. */
  async function consume(call: ConsumeCall): Promise<LogMessage[]> {
    const known = await topicsOf(call.topics, call.create, call.ref.principal);
    const topics: TopicInfo[] = [...known].map(([topic, { partitions: number }]) => ({ topic, partitions: number }));
    const only = count === 1 ? 0 : call.broker;
    if (only !== null && only >= count) {
      throw new EdgeplaneError("invalid_request", `There is no broker ${only}; this log has ${count}, from 0 on.`);
    }
    const request = { ...call.ref, topics, options: call.options };
    if (only !== null) return consumeFromOne(broker(only), { index: only, count }, request, call);
    return consumeFromAll(all(), request, call);
  }

  async function fetch(from: TopicPartitionOffset[], timeoutMs: number): Promise<LogMessage[]> {
    await checkPartitions(from);
    const groups = Map.groupBy(from, (entry) => brokerOf(entry.topic, entry.partition, count));
    const calls = [...groups].map(([index, own]) => ({ broker: broker(index), from: own }));
    return fetchFromAll(calls, timeoutMs);
  }

  /** Commits offsets as sent; null commits all that the instance consumed. */
  async function commit(ref: InstanceRef, offsets: TopicPartitionOffset[] | null): Promise<void> {
    if (offsets !== null) {
      await checkPartitions(offsets);
      await perBroker(offsets, async (index, own) => {
        await callObject(async () => unwrap<boolean>(await broker(index).commit(ref, own)));
        return [];
      });
      return;
    }
    const known = await askAll(async (target) => unwrap<boolean>(await target.commit(ref, null)));
    if (!known.includes(true)) throw unknownInstance(ref);
  }

  /** The group's committed offsets, -1 where it has none. */
  async function committed(group: string, entries: TopicPartition[]): Promise<TopicPartitionOffset[]> {
    await checkPartitions(entries);
    const found = await perBroker(entries, (index, own) => callObject(() => broker(index).committed(group, own)));
    return withOffsets(entries, found);
  }

  /** The earliest offset at or after a time (-1: none), or an end of each partition. */
  async function offsets(entries: TopicPartition[], query: OffsetQuery): Promise<TopicPartitionOffset[]> {
    await checkPartitions(entries);
    const found = await perBroker(entries, (index, own) => callObject(() => broker(index).offsets(own, query)));
    return withOffsets(entries, found);
  }

  async function topics(): Promise<Record<string, number>> {
    const lists = await askAll((target) => target.topics());
    return Object.fromEntries(lists.flat().map((info) => [info.topic, info.partitions]));
  }

  async function consumers(): Promise<GroupAssignment[]> {
    return mergeAssignments((await askAll((target) => target.consumers())).flat());
  }

  async function removeInstance(ref: InstanceRef): Promise<void> {
    const known = await Promise.all(all().map(async (target) => unwrap<boolean>(await target.removeInstance(ref))));
    if (!known.includes(true)) throw unknownInstance(ref);
  }

  /** Sets the test faults of every broker; only a local stack lets it. */
  async function setFaults(faults: LogFaults): Promise<void> {
    await askAll(async (target) => unwrap<LogFaults>(await target.setFaults(faults)));
  }

  return { produce, consume, fetch, commit, committed, offsets, topics, consumers, removeInstance, setFaults };
}

function choosePartition(record: ProduceRecord, partitionCount: number): number {
  return record.key === undefined
    ? keylessTurn(record.topic, partitionCount)
    : keyedPartition(record.key, partitionCount);
}

function checkPartition(topic: string, partition: number, partitionCount: number): void {
  if (partition < partitionCount) return;
  throw new EdgeplaneError(
    "topic_not_found",
    `Topic \`${topic}\` has ${partitionCount} partitions, from 0 on; there is no partition ${partition}.`,
  );
}

function toAppendRecord(record: ProduceRecord, index: number): AppendRecord {
  const append: AppendRecord = {
    key: record.key ?? null,
    value: record.value,
    headers: record.headers ?? [],
    timestamp: record.timestamp ?? null,
  };
  const bytes = recordBytes(append);
  if (bytes > MAX_RECORD_BYTES) throw recordTooLarge(index, bytes, MAX_RECORD_BYTES, "the log");
  checkTimestamp(index, append.timestamp, Date.now(), DEFAULT_MAX_AHEAD_MS);
  return append;
}

function withOffsets(entries: readonly TopicPartition[], found: readonly number[]): TopicPartitionOffset[] {
  return entries.map(({ topic, partition }, index) => ({ topic, partition, offset: found[index] ?? -1 }));
}

function unknownInstance(ref: InstanceRef): EdgeplaneError {
  return new EdgeplaneError(
    "unknown_member",
    `Group \`${ref.group}\` has no instance \`${ref.instance}\`; it comes into being with its first consume, and ends when idle or deleted.`,
  );
}

/** Each broker knows the assignment of its own partitions; an instance's are those of all brokers. */
export function mergeAssignments(lists: readonly GroupAssignment[]): GroupAssignment[] {
  const groups = new Map<string, Map<string, Map<string, Set<number>>>>();
  for (const group of lists) {
    const instances = groups.get(group.name) ?? new Map<string, Map<string, Set<number>>>();
    groups.set(group.name, instances);
    for (const instance of group.instances) {
      const topics = instances.get(instance.name) ?? new Map<string, Set<number>>();
      instances.set(instance.name, topics);
      for (const { topic, partitions } of instance.topics) {
        topics.set(topic, new Set([...(topics.get(topic) ?? []), ...partitions]));
      }
    }
  }
  return [...groups].map(([name, instances]) => ({
    name,
    instances: [...instances].map(([instance, topics]) => ({
      name: instance,
      topics: [...topics].map(([topic, partitions]) => ({
        topic,
        partitions: [...partitions].toSorted((a, b) => a - b),
      })),
    })),
  }));
}
