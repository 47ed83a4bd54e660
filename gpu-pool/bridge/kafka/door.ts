/** The Kafka door: the Upstash REST dialect in front of a Kafka cluster. Every reply, errors too, is JSON. */
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import {
  callOf,
  commitRequest,
  consumeHeaders,
  consumeRequest,
  fetchRequest,
  instanceRequest,
  offsetTime,
  partitionsRequest,
  produceRequest,
  queryCredentials,
  roomOf,
  webhookRequest,
} from "../../../src/contract/kafka-requests.ts";
import type { Reply, Request } from "../http.ts";
import type { Metrics } from "../metrics.ts";
import { SecretBook } from "../secrets.ts";
import { isAlone } from "../shares.ts";
import type { KafkaSettings, KafkaUser } from "../settings.ts";
import { Cluster } from "./cluster.ts";
import { Instances } from "./instances.ts";
import type { InstanceName } from "./instances.ts";
import { groupLag } from "./lag.ts";
import { CoalescingProducer } from "./producer.ts";
import { Reader } from "./reader.ts";

const DEFAULT_WAIT_MS = 1000;
const done = { result: "Success", status: 200 };

type Handler = (request: Request, user: KafkaUser) => Promise<Omit<Reply, "operation">>;

export class KafkaDoor {
  readonly cluster: Cluster;
  readonly #settings: KafkaSettings;
  readonly #metrics: Metrics;
  readonly #users: SecretBook<KafkaUser>;
  readonly #producer: CoalescingProducer;
  readonly #instances: Instances;
  readonly #reader: Reader;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(settings: KafkaSettings, metrics: Metrics) {
    this.#settings = settings;
    this.#metrics = metrics;
    this.cluster = new Cluster(settings);
    this.#users = new SecretBook(settings.users.map((user) => [`${user.username}:${user.password}`, user]));
    this.#instances = new Instances(settings);
    this.#reader = new Reader(this.cluster, isAlone(settings));
    this.#producer = new CoalescingProducer(this.cluster, settings.limits, {
      onSend: (records) => {
        metrics.produced.inc(records);
        metrics.sends.inc();
      },
    });
    metrics.gauge("consumer_instances", "Consumer instances alive.", () => this.#instances.size);
    metrics.gauge("produce_pending_bytes", "Bytes that wait to be produced.", () => this.#producer.pendingBytes);
    this.#handlers = new Map<string, Handler>([
      ["produce", async (request, user) => this.#produce(request, user)],
      ["webhook", async (request, user) => this.#webhook(request, user)],
      ["consume", async (request, user) => this.#consume(request, user)],
      ["commit", async (request, user) => this.#commit(request, user)],
      ["committed", async (request, user) => this.#committed(request, user)],
      ["fetch", async (request, user) => this.#fetch(request, user)],
      ["offsets", async (request, user) => this.#offsets(request, user)],
      ["topics", async (_request, user) => this.#topics(user)],
      ["consumers", async (_request, user) => this.#consumers(user)],
      ["delete-consumer", async (request, user) => this.#remove(request, user)],
    ]);
  }

  get bodyLimitBytes(): number {
    return this.#settings.limits.maxBodyBytes;
  }

  /** Checks the credentials before a body is read. Throws `unauthenticated`. */
  authenticate(request: Request): KafkaUser {
    const encoded = /^Basic\s+([A-Za-z0-9+/=_-]+)$/i.exec(request.header("authorization") ?? "")?.[1];
    const asked = queryCredentials(request);
    const inQuery = asked === null ? undefined : `${asked.username}:${asked.password}`;
    const given = encoded === undefined ? inQuery : Buffer.from(encoded, "base64").toString("utf8");
    const user = given === undefined ? null : this.#users.find(given);
    if (user !== null) return user;
    const message =
      given === undefined
        ? "Send `Authorization: Basic …` with a user and password of the bridge."
        : "The bridge has no such user, or the password is wrong.";
    throw new EdgeplaneError("unauthenticated", message, { headers: { "www-authenticate": 'Basic realm="kafka"' } });
  }

  async handle(request: Request, user: KafkaUser): Promise<Reply> {
    const operation = callOf(request);
    const reply = await this.#handlers.get(operation)?.(request, user);
    if (reply === undefined) throw new EdgeplaneError("not_found", `The bridge has no /${operation}.`);
    return { ...reply, operation };
  }

  /** Sets the lag of every group that has instances here, for a scrape. */
  async measureLag(): Promise<void> {
    const groups = new Map<string, Set<string>>();
    for (const { name, topics } of this.#instances.all)
      groups.set(name.group, new Set([...(groups.get(name.group) ?? []), ...topics]));
    this.#metrics.lag.reset();
    for (const [group, topics] of groups) {
      // One of a topic that was deleted, say, hides no other's.
      const lags = await groupLag(this.cluster, this.#reader, group, topics).catch(() => new Map<string, number>());
      for (const [topic, lag] of lags) this.#metrics.lag.set({ group, topic }, lag);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#instances.close(), this.#producer.close(), this.#reader.close()]);
    await this.cluster.close();
  }

  async #produce(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const { records, isSingle } = produceRequest(request);
    for (const topic of new Set(records.map((record) => record.topic))) demand(user.produce, topic, user, "produce to");
    const body = await this.#producer.produce(records, user.username);
    return { status: 200, body: isSingle ? body[0] : body };
  }

  async #webhook(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const records = webhookRequest(request);
    for (const { topic } of records) demand(user.produce, topic, user, "produce to");
    const [body] = await this.#producer.produce(records, user.username);
    return { status: 200, body };
  }

  async #consume(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const name = this.#instanceName(request, user);
    const { topics, timeoutMs } = consumeRequest(request);
    const headers = consumeHeaders(request);
    const asked = roomOf(request);
    for (const topic of topics) demand(user.consume, topic, user, "consume from");
    for (const topic of topics) await this.cluster.topic(topic);
    const { maxConsumeRecords, maxConsumeBytes } = this.#settings.limits;
    const room = Math.min(asked ?? maxConsumeRecords, maxConsumeRecords);
    const waitMs = this.#waitMs(timeoutMs);
    const instance = this.#instances.open(name, topics, headers);
    const records = await instance.consume(topics, { room, maxBytes: maxConsumeBytes, waitMs, signal: request.signal });
    this.#metrics.consumed.inc(records.length);
    return { status: 200, body: records, onLost: () => instance.putBack(records) };
  }

  async #commit(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const name = this.#instanceName(request, user);
    const offsets = commitRequest(request);
    for (const { topic } of offsets ?? []) demand(user.consume, topic, user, "commit");
    const instance = this.#instances.find(name);
    await this.cluster.checkPartitions(offsets ?? []);
    await instance.commit(offsets ?? undefined);
    return { status: 200, body: done };
  }

  async #committed(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const { group } = this.#instanceName(request, user);
    const partitions = partitionsRequest(request, 3);
    for (const { topic } of partitions) demand(user.consume, topic, user, "read the commits of");
    return { status: 200, body: await this.#reader.committed(group, partitions) };
  }

  async #fetch(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const { from, timeoutMs } = fetchRequest(request);
    for (const { topic } of from) demand(user.consume, topic, user, "fetch from");
    const { maxConsumeRecords: maxRecords, maxConsumeBytes: maxBytes } = this.#settings.limits;
    return {
      status: 200,
      body: await this.#reader.fetch(from, {
        waitMs: this.#waitMs(timeoutMs),
        maxRecords,
        maxBytes,
        signal: request.signal,
        user: user.username,
      }),
    };
  }

  async #offsets(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const at = offsetTime(request);
    const partitions = partitionsRequest(request, 2);
    for (const { topic } of partitions) demandAny(user, topic);
    return { status: 200, body: await this.#reader.offsets(partitions, at) };
  }

  async #topics(user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const topics = await this.cluster.topics();
    const visible = [...topics].filter(([name]) => covers(user.consume, name) || covers(user.produce, name));
    return { status: 200, body: Object.fromEntries(visible.toSorted(([a], [b]) => (a < b ? -1 : 1))) };
  }

  async #consumers(user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const groups = new Map<string, { name: string; topics: { topic: string; partitions: number[] }[] }[]>();
    for (const { name, joined, assignments } of this.#instances.all) {
      if (name.username !== user.username || !joined) continue;
      groups.set(name.group, [...(groups.get(name.group) ?? []), { name: name.instance, topics: assignments }]);
    }
    return { status: 200, body: [...groups].map(([name, instances]) => ({ name, instances })) };
  }

  async #remove(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    await this.#instances.remove(this.#instanceName(request, user));
    return { status: 200, body: done };
  }

  #instanceName(request: Request, user: KafkaUser): InstanceName {
    const { group, instance } = instanceRequest(request);
    if (!covers(user.groups, group))
      throw new EdgeplaneError("forbidden", `The user "${user.username}" has no right to the group "${group}".`);
    return { username: user.username, group, instance };
  }

  #waitMs(timeout: number | undefined): number {
    return Math.min(timeout ?? DEFAULT_WAIT_MS, this.#settings.limits.maxConsumeWaitMs);
  }
}

function covers(prefixes: readonly string[], name: string): boolean {
  return prefixes.some((prefix) => name.startsWith(prefix));
}

function demand(prefixes: readonly string[], topic: string, user: KafkaUser, verb: string): void {
  if (covers(prefixes, topic)) return;
  throw new EdgeplaneError(
    "topic_forbidden",
    `The user "${user.username}" has no right to ${verb} the topic "${topic}".`,
  );
}

function demandAny(user: KafkaUser, topic: string): void {
  demand([...user.consume, ...user.produce], topic, user, "read the offsets of");
}
