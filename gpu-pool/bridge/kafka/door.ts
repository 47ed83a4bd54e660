/** The Kafka door: the Upstash REST dialect in front of a Kafka cluster. Every reply, errors too, is JSON. */
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { Reply, Request } from "../http.ts";
import type { Metrics } from "../metrics.ts";
import { SecretBook } from "../secrets.ts";
import type { KafkaSettings, KafkaUser } from "../settings.ts";
import { Cluster } from "./cluster.ts";
import { Instances } from "./instances.ts";
import type { InstanceName } from "./instances.ts";
import { groupLag } from "./lag.ts";
import { CoalescingProducer } from "./producer.ts";
import { Reader } from "./reader.ts";
import {
  commitRequest,
  consumeHeaders,
  consumeRequest,
  fetchRequest,
  partitionsRequest,
  produceRequest,
  webhookRequest,
} from "./requests.ts";

const DEFAULT_WAIT_MS = 1000;
const NAME_PATTERN = /^\P{Cc}{1,200}$/u;
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
    this.#reader = new Reader(this.cluster);
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
    const given = encoded === undefined ? asked(request) : Buffer.from(encoded, "base64").toString("utf8");
    const user = given === undefined ? null : this.#users.find(given);
    if (user !== null) return user;
    const message =
      given === undefined
        ? "Send `Authorization: Basic …` with a user and password of the bridge."
        : "The bridge has no such user, or the password is wrong.";
    throw new EdgeplaneError("unauthenticated", message, { headers: { "www-authenticate": 'Basic realm="kafka"' } });
  }

  async handle(request: Request, user: KafkaUser): Promise<Reply> {
    const operation = request.segments[0] ?? "";
    const handler = this.#handlers.get(operation);
    if (handler === undefined) throw new EdgeplaneError("not_found", `There is no /${operation} in this dialect.`);
    if (request.method !== "GET" && request.method !== "POST" && request.method !== "DELETE") {
      throw new EdgeplaneError("method_not_allowed", "Use GET or POST.", { headers: { allow: "GET, POST" } });
    }
    return { ...(await handler(request, user)), operation };
  }

  /** Sets the lag of every group that has instances here, for a scrape. */
  async measureLag(): Promise<void> {
    const groups = new Map<string, Set<string>>();
    for (const { name, topics } of this.#instances.all)
      groups.set(name.group, new Set([...(groups.get(name.group) ?? []), ...topics]));
    this.#metrics.lag.reset();
    for (const [group, topics] of groups) {
      const lags = await groupLag(this.cluster, this.#reader, group, topics);
      for (const [topic, lag] of lags) this.#metrics.lag.set({ group, topic }, lag);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#instances.close(), this.#producer.close(), this.#reader.close()]);
    await this.cluster.close();
  }

  async #produce(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const records = produceRequest(request);
    for (const topic of new Set(records.map((record) => record.topic))) demand(user.produce, topic, user, "produce to");
    const body = await this.#producer.produce(records);
    return { status: 200, body: request.segments.length > 2 ? body[0] : body };
  }

  async #webhook(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const records = webhookRequest(request);
    for (const { topic } of records) demand(user.produce, topic, user, "produce to");
    const [body] = await this.#producer.produce(records);
    return { status: 200, body };
  }

  async #consume(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const name = this.#instanceName(request, user);
    const { topics, timeout } = consumeRequest(request);
    const headers = consumeHeaders(request);
    for (const topic of topics) demand(user.consume, topic, user, "consume from");
    for (const topic of topics) await this.cluster.topic(topic);
    const { maxConsumeRecords, maxConsumeBytes } = this.#settings.limits;
    const room = Math.min(headers.room ?? maxConsumeRecords, maxConsumeRecords);
    const waitMs = room === 0 ? 0 : this.#waitMs(timeout);
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
    await instance.commit(offsets);
    return { status: 200, body: done };
  }

  async #committed(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const { group } = this.#instanceName(request, user);
    const partitions = partitionsRequest(request, 3);
    for (const { topic } of partitions ?? []) demand(user.consume, topic, user, "read the commits of");
    const committed = await this.#reader.committed(group, partitions);
    return { status: 200, body: committed.filter(({ topic }) => covers(user.consume, topic)) };
  }

  async #fetch(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const { partitions, timeout } = fetchRequest(request);
    for (const { topic } of partitions) demand(user.consume, topic, user, "fetch from");
    const { maxConsumeRecords: maxRecords, maxConsumeBytes: maxBytes } = this.#settings.limits;
    return {
      status: 200,
      body: await this.#reader.fetch(partitions, { waitMs: this.#waitMs(timeout), maxRecords, maxBytes }),
    };
  }

  async #offsets(request: Request, user: KafkaUser): Promise<Omit<Reply, "operation">> {
    const at = parseTime(request.segments[1]);
    const partitions = partitionsRequest(request, 2);
    if (partitions === undefined)
      throw new EdgeplaneError("invalid_request", "Name the partitions: [{topic, partition}].");
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

  #instanceName({ segments }: Request, user: KafkaUser): InstanceName {
    const [operation, group, instance] = segments;
    if (group === undefined || instance === undefined) {
      throw new EdgeplaneError("invalid_request", `Name the group and the instance: /${operation}/{group}/{instance}.`);
    }
    if (!NAME_PATTERN.test(group) || !NAME_PATTERN.test(instance)) {
      throw new EdgeplaneError(
        "invalid_request",
        "A group's and an instance's name has up to 200 characters, without control characters.",
      );
    }
    if (!covers(user.groups, group))
      throw new EdgeplaneError("forbidden", `The user "${user.username}" has no right to the group "${group}".`);
    return { username: user.username, group, instance };
  }

  #waitMs(timeout: number | undefined): number {
    return Math.min(timeout ?? DEFAULT_WAIT_MS, this.#settings.limits.maxConsumeWaitMs);
  }
}

function parseTime(text: string | undefined): "earliest" | "latest" | number {
  if (text === "earliest" || text === "latest") return text;
  const time = Number(text);
  if (text !== undefined && Number.isInteger(time) && time >= 0) return time;
  throw new EdgeplaneError(
    "invalid_request",
    "Name the time: /offsets/earliest, /offsets/latest or /offsets/{milliseconds}.",
  );
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

/** Credentials in the query, as webhooks of others can send them. */
function asked({ query }: Request): string | undefined {
  return query.has("user") ? `${query.get("user")}:${query.get("pass")}` : undefined;
}
