/**
 * Produces with an idempotent producer and acks=all. Requests that arrive while one is in flight are coalesced: each
 * leader has one queue with one produce in flight, so a dead broker holds up only its own partitions, and what waits
 * leaves together.
 *
 * A piece (records of one request for one leader): queued → in flight → answered. A coalesced produce that the cluster
 * refuses is taken apart and tried piece by piece: one bad record fails only its own request. A second try may write a
 * record twice.
 */
import { compatibilityPartitioner, Producer } from "@platformatic/kafka";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { DialectRecord } from "../../../src/contract/kafka-schemas.ts";
import type { KafkaSettings } from "../settings.ts";
import { checkTimestamp, recordTooLarge } from "../../../src/contract/kafka-limits.ts";
import { clientOptions } from "./cluster.ts";
import type { Cluster, TopicInfo } from "./cluster.ts";
import { translateError } from "./errors.ts";
import { aloneBytes } from "./record-size.ts";
import type { TopicRules } from "./topic-rules.ts";

const MAX_SEND_BYTES = 900_000;
const MAX_SEND_RECORDS = 5000;
/** What a record's time and offset within its batch take at most: a record alone in its batch has neither. */
const WITHIN_BATCH_BYTES = 14;
const RETRIES = 20;

export type RecordToProduce = DialectRecord;
export type Produced = { topic: string; partition: number; offset: number; timestamp: number };

type Message = {
  topic: string;
  partition: number;
  timestamp: bigint;
  value: Buffer;
  key?: Buffer;
  headers?: Map<Buffer, Buffer>;
  bytes: number;
};
type Group = { messages: Message[]; indexes: number[]; limitBytes: number; bytes: number };
type Piece = {
  messages: Message[];
  bytes: number;
  /** How much may be sent with it: no batch may be larger than its topic allows. */
  limitBytes: number;
  /** Its caller was told that it failed: it need not be sent any more. */
  givenUp: AbortSignal;
  resolve: (produced: Produced[]) => void;
  reject: (error: unknown) => void;
};

export type ProducerLimits = Pick<KafkaSettings["limits"], "maxPendingBytes" | "produceTimeoutMs">;

export type ProducerEvents = { onSend?: (records: number, requests: number, durationMs: number) => void };

export class CoalescingProducer {
  readonly #cluster: Cluster;
  readonly #limits: ProducerLimits;
  readonly #events: ProducerEvents;
  readonly #queues = new Map<number, LeaderQueue>();
  readonly #nextPartition = new Map<string, number>();
  readonly #pendingByLeader = new Map<number, number>();
  readonly #pendingByUser = new Map<string, number>();
  #pendingBytes = 0;

  constructor(cluster: Cluster, limits: ProducerLimits, events: ProducerEvents = {}) {
    this.#cluster = cluster;
    this.#limits = limits;
    this.#events = events;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Appends all records and answers in their order. Throws an `EdgeplaneError`. What can be known of a record
   * beforehand (its size, its partition, its key, its time) is refused before any is sent; when the cluster fails
   * meanwhile, some of the records may be in the log. `user`: who produces.
   */
  async produce(records: readonly RecordToProduce[], user = ""): Promise<Produced[]> {
    const topics = new Map<string, { info: TopicInfo; rules: TopicRules }>();
    for (const { topic } of records) {
      if (topics.has(topic)) continue;
      topics.set(topic, { info: await this.#cluster.topic(topic), rules: await this.#cluster.rules(topic) });
    }
    const byLeader = new Map<number, Group>();
    const now = Date.now();
    let bytes = 0;
    for (const [index, record] of records.entries()) {
      const topic = topics.get(record.topic);
      if (topic === undefined) continue;
      const message = this.#message(record, topic.info, index, now);
      checkRules(message, topic.rules, index, now);
      const leader = topic.info.leaders[message.partition] ?? -1;
      const group = byLeader.get(leader) ?? { messages: [], indexes: [], limitBytes: MAX_SEND_BYTES, bytes: 0 };
      byLeader.set(leader, group);
      group.messages.push(message);
      group.indexes.push(index);
      group.limitBytes = Math.min(group.limitBytes, topic.rules.maxMessageBytes);
      group.bytes += message.bytes;
      bytes += message.bytes;
    }
    if (this.#isFull(byLeader, user, bytes)) {
      throw new EdgeplaneError(
        "unavailable",
        "Too much waits to be produced already: the cluster is slow or can't be reached.",
        { retryAfterMs: 1000 },
      );
    }
    this.#hold(byLeader, user, 1);
    const giveUp = new AbortController();
    // What is in flight when its time is up holds its memory until the cluster has answered.
    const work = this.#dispatch(byLeader, records.length, giveUp.signal).finally(() => this.#hold(byLeader, user, -1));
    return withTimeout(work, this.#limits.produceTimeoutMs, giveUp);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map(async (queue) => queue.close()));
  }

  /**
   * Whether there is no room for so much. One leader, which may be away, and one user may each have half of all at
   * most.
   */
  #isFull(byLeader: ReadonlyMap<number, Group>, user: string, bytes: number): boolean {
    const left = this.#limits.maxPendingBytes - this.#pendingBytes;
    if (bytes > left) return true;
    const isTooMuch = (waiting = 0, more: number): boolean => waiting > 0 && waiting + more > left;
    if (this.#pendingByUser.size > 1 && isTooMuch(this.#pendingByUser.get(user), bytes)) return true;
    if (this.#queues.size < 2) return false;
    return [...byLeader].some(([leader, group]) => isTooMuch(this.#pendingByLeader.get(leader), group.bytes));
  }

  #hold(byLeader: ReadonlyMap<number, Group>, user: string, sign: 1 | -1): void {
    for (const [leader, { bytes }] of byLeader) {
      this.#pendingBytes += sign * bytes;
      this.#pendingByLeader.set(leader, (this.#pendingByLeader.get(leader) ?? 0) + sign * bytes);
      this.#pendingByUser.set(user, (this.#pendingByUser.get(user) ?? 0) + sign * bytes);
    }
  }

  async #dispatch(byLeader: Map<number, Group>, count: number, givenUp: AbortSignal): Promise<Produced[]> {
    const [only] = byLeader;
    if (only !== undefined && byLeader.size === 1) return this.#queue(only[0]).push(only[1], givenUp);
    const answers: Produced[] = Array.from({ length: count });
    await Promise.all(
      [...byLeader].map(async ([leader, group]) => {
        const produced = await this.#queue(leader).push(group, givenUp);
        for (const [position, index] of group.indexes.entries()) {
          const answer = produced[position];
          if (answer !== undefined) answers[index] = answer;
        }
      }),
    );
    return answers;
  }

  #message(record: RecordToProduce, topic: TopicInfo, index: number, now: number): Message {
    const partitions = topic.leaders.length;
    if (typeof record.partition === "number" && record.partition >= partitions) {
      const known = `the topic "${topic.name}" has the partitions 0 to ${partitions - 1}`;
      throw new EdgeplaneError(
        "topic_not_found",
        `Record ${index}: there is no partition ${record.partition}; ${known}.`,
      );
    }
    const value = Buffer.from(record.value);
    const message: Message = {
      topic: topic.name,
      partition: record.partition ?? -1,
      timestamp: BigInt(typeof record.timestamp === "number" ? record.timestamp : now),
      value,
      ...(typeof record.key === "string" ? { key: Buffer.from(record.key) } : {}),
      ...(Array.isArray(record.headers) ? { headers: headersOf(record.headers) } : {}),
      bytes: 0,
    };
    message.bytes = aloneBytes(message) + WITHIN_BATCH_BYTES;
    if (message.partition === -1) message.partition = this.#partitionFor(message, partitions);
    return message;
  }

  #partitionFor({ topic, key }: Message, partitions: number): number {
    if (key === undefined) return this.#spread(topic, partitions);
    return compatibilityPartitioner({ topic }, key) % partitions;
  }

  #spread(topic: string, partitions: number): number {
    const next = (this.#nextPartition.get(topic) ?? Math.floor(Math.random() * partitions)) % partitions;
    this.#nextPartition.set(topic, next + 1);
    return next;
  }

  #queue(leader: number): LeaderQueue {
    let queue = this.#queues.get(leader);
    if (queue === undefined) {
      queue = new LeaderQueue(this.#cluster, leader, this.#events);
      this.#queues.set(leader, queue);
    }
    return queue;
  }
}

class LeaderQueue {
  readonly #producer: Producer;
  readonly #events: ProducerEvents;
  readonly #waiting: Piece[] = [];
  #running = false;

  constructor(cluster: Cluster, leader: number, events: ProducerEvents) {
    const options = clientOptions(cluster.settings);
    this.#producer = new Producer({
      ...options,
      clientId: `${options.clientId}-${leader}`,
      idempotent: true,
      retries: RETRIES,
    });
    this.#producer.on("error", () => {});
    this.#events = events;
  }

  async push({ messages, limitBytes }: Group, givenUp: AbortSignal): Promise<Produced[]> {
    const answers = Promise.all(split(messages, limitBytes).map((part) => this.#enqueue(part, limitBytes, givenUp)));
    void this.#run();
    const [first = [], ...more] = await answers;
    return more.length === 0 ? first : [first, ...more].flat();
  }

  async close(): Promise<void> {
    await this.#producer.close(true).catch(() => {});
  }

  #enqueue(messages: Message[], limitBytes: number, givenUp: AbortSignal): Promise<Produced[]> {
    let bytes = 0;
    for (const message of messages) bytes += message.bytes;
    return new Promise((resolve, reject) => {
      const piece = { messages, bytes, limitBytes, givenUp, resolve, reject };
      this.#waiting.push(piece);
      givenUp.addEventListener("abort", () => this.#drop(piece));
    });
  }

  #drop(piece: Piece): void {
    const at = this.#waiting.indexOf(piece);
    if (at === -1) return;
    this.#waiting.splice(at, 1);
    piece.reject(piece.givenUp.reason);
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#waiting.length > 0) {
      const pieces = this.#take();
      const error = await this.#send(pieces);
      if (error === null) continue;
      if (pieces.length === 1) {
        pieces[0]?.reject(error);
        continue;
      }
      for (const piece of pieces) {
        const own = piece.givenUp.aborted ? error : await this.#send([piece]);
        if (own !== null) piece.reject(own);
      }
    }
    this.#running = false;
  }

  #take(): Piece[] {
    const pieces: Piece[] = [];
    let bytes = 0;
    let records = 0;
    let limitBytes = MAX_SEND_BYTES;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      bytes += next.bytes;
      records += next.messages.length;
      limitBytes = Math.min(limitBytes, next.limitBytes);
      if (pieces.length > 0 && (bytes > limitBytes || records > MAX_SEND_RECORDS)) break;
      pieces.push(next);
      this.#waiting.shift();
    }
    return pieces;
  }

  async #send(pieces: Piece[]): Promise<EdgeplaneError | null> {
    const [first] = pieces;
    const messages =
      first !== undefined && pieces.length === 1 ? first.messages : pieces.flatMap((piece) => piece.messages);
    const started = performance.now();
    try {
      const { offsets } = await this.#producer.send({ messages });
      const next = new NextOffsets(offsets ?? []);
      for (const piece of pieces) piece.resolve(piece.messages.map((message) => next.answer(message)));
      this.#events.onSend?.(messages.length, pieces.length, performance.now() - started);
      return null;
    } catch (error) {
      return translateError(error, `topic "${messages[0]?.topic}"`);
    }
  }
}

/** Counts on from the first offsets that a produce was given. */
class NextOffsets {
  readonly #topics = new Map<string, Map<number, number>>();

  constructor(first: readonly { topic: string; partition: number; offset: bigint }[]) {
    for (const { topic, partition, offset } of first) {
      const offsets = this.#topics.get(topic) ?? new Map<number, number>();
      this.#topics.set(topic, offsets.set(partition, Number(offset)));
    }
  }

  answer({ topic, partition, timestamp }: Message): Produced {
    const offsets = this.#topics.get(topic);
    const offset = offsets?.get(partition) ?? -1;
    offsets?.set(partition, offset + 1);
    return { topic, partition, offset, timestamp: Number(timestamp) };
  }
}

function headersOf(headers: readonly { key: string; value: string }[]): Map<Buffer, Buffer> {
  return new Map(headers.map(({ key, value }) => [Buffer.from(key), Buffer.from(value)]));
}

/** Throws what the cluster would refuse, before any record of the request is sent. */
function checkRules(message: Message, rules: TopicRules, index: number, now: number): void {
  const bytes = aloneBytes(message);
  if (bytes > rules.maxMessageBytes)
    throw recordTooLarge(index, bytes, rules.maxMessageBytes, `the topic "${message.topic}" (max.message.bytes)`);
  if (rules.needsKey && message.key === undefined) {
    throw new EdgeplaneError(
      "invalid_request",
      `Record ${index} has no key: the topic "${message.topic}" is compacted. No record was stored.`,
    );
  }
  checkTimestamp(index, Number(message.timestamp), now, rules.maxAheadMs);
}

function split(messages: Message[], limitBytes: number): Message[][] {
  const parts: Message[][] = [];
  let current: Message[] = [];
  let bytes = 0;
  for (const message of messages) {
    if (current.length > 0 && (bytes + message.bytes > limitBytes || current.length >= MAX_SEND_RECORDS)) {
      parts.push(current);
      current = [];
      bytes = 0;
    }
    current.push(message);
    bytes += message.bytes;
  }
  parts.push(current);
  return parts;
}

async function withTimeout<T>(work: Promise<T>, timeoutMs: number, giveUp: AbortController): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const message = `The cluster did not take the records within ${timeoutMs} ms; they may still arrive.`;
    timer = setTimeout(() => {
      giveUp.abort();
      reject(new EdgeplaneError("unavailable", message));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
