/**
 * The bridge's view of the cluster: how to connect, which topics there are, and creating them where that is allowed.
 */
import { Admin, findErrorBy } from "@platformatic/kafka";
import type { BaseOptions } from "@platformatic/kafka";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { isTopicName, noTopicName } from "../../../src/contract/kafka-names.ts";
import { readTlsFiles } from "../pem-files.ts";
import type { ClusterSettings } from "../settings.ts";
import { translateError } from "./errors.ts";
import { TopicRuleBook } from "./topic-rules.ts";
import type { TopicRules } from "./topic-rules.ts";

const MISSING_CACHE_MS = 1000;
const LOOK_UP_RETRIES = 6;
const LOOK_UP_PAUSE_MS = 50;

export type ClientSettings = Omit<ClusterSettings, "topics">;
export type TopicInfo = { name: string; id: string; leaders: readonly number[] };

/** Options that every client of the library gets: where, as whom, and how long to keep trying. */
export function clientOptions(settings: ClientSettings): BaseOptions {
  const { tls, sasl } = settings;
  const secure = typeof tls === "object" ? readTlsFiles("kafka.tls", tls) : {};
  return {
    clientId: settings.clientId,
    bootstrapBrokers: settings.brokers,
    connectTimeout: 3000,
    requestTimeout: 15_000,
    timeout: 10_000,
    retries: 5,
    retryDelay: (_client: object, _operation: string, attempt: number) => Math.min(50 * 2 ** attempt, 1000),
    metadataMaxAge: 5000,
    ...(tls === false ? {} : { tls: secure, tlsServerName: (typeof tls === "object" && tls.serverName) || true }),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

export class Cluster {
  readonly admin: Admin;
  readonly #settings: ClusterSettings;
  readonly #missing = new Map<string, number>();
  readonly #rules: TopicRuleBook;

  constructor(settings: ClusterSettings) {
    this.#settings = settings;
    this.admin = new Admin(clientOptions(settings));
    this.admin.on("error", () => {});
    this.#rules = new TopicRuleBook(this.admin);
  }

  get settings(): ClusterSettings {
    return this.#settings;
  }

  /** Connects and reads the cluster's metadata. Throws a translated error that says what is wrong. */
  async probe(): Promise<{ brokers: number }> {
    try {
      const metadata = await this.admin.metadata({ topics: [], forceUpdate: true, retries: 0 });
      return { brokers: metadata.brokers.size };
    } catch (error) {
      throw translateError(error, `brokers ${this.#settings.brokers.join(",")}`);
    }
  }

  /** The topic's partitions and their leaders; creates it when the settings allow. Throws `topic_not_found`. */
  async topic(name: string): Promise<TopicInfo> {
    if (!isTopicName(name)) throw new EdgeplaneError("invalid_request", `${noTopicName(name)}.`);
    const missingUntil = this.#missing.get(name) ?? 0;
    if (missingUntil > Date.now()) throw unknownTopic(name);
    const found = await this.#lookUp(name);
    if (found !== null) return found;
    if (!this.#settings.topics.create) {
      this.#remember(name);
      throw unknownTopic(name);
    }
    await this.createTopic(name);
    const created = await this.#lookUp(name, true);
    if (created === null)
      throw new EdgeplaneError("unavailable", `The topic "${name}" was created and is not there yet.`);
    return created;
  }

  /** What the cluster demands of a topic's records, as far as the bridge may know it. */
  async rules(topic: string): Promise<TopicRules> {
    return this.#rules.of(topic);
  }

  /** Throws `topic_not_found` unless every topic has its partition. */
  async checkPartitions(partitions: readonly { topic: string; partition: number }[]): Promise<void> {
    for (const { topic, partition } of partitions) {
      const { leaders } = await this.topic(topic);
      if (partition < leaders.length) continue;
      const known = `the topic "${topic}" has the partitions 0 to ${leaders.length - 1}`;
      throw new EdgeplaneError("topic_not_found", `There is no partition ${partition}: ${known}.`);
    }
  }

  /** All topics that are not the cluster's own, with their number of partitions. */
  async topics(): Promise<Map<string, number>> {
    try {
      const names = await this.admin.listTopics();
      if (names.length === 0) return new Map();
      const metadata = await this.admin.metadata({ topics: names });
      return new Map([...metadata.topics].map(([name, topic]) => [name, topic.partitionsCount]));
    } catch (error) {
      throw translateError(error);
    }
  }

  async createTopic(name: string): Promise<void> {
    const { partitions, replicas, retentionMs } = this.#settings.topics;
    const configs =
      retentionMs === undefined ? {} : { configs: [{ name: "retention.ms", value: String(retentionMs) }] };
    try {
      await this.admin.createTopics({ topics: [name], partitions, replicas, ...configs });
    } catch (error) {
      if (error instanceof Error && findErrorBy(error, "apiId", "TOPIC_ALREADY_EXISTS") !== null) return;
      throw translateError(error, `creating topic "${name}"`);
    }
  }

  async close(): Promise<void> {
    await this.admin.close().catch(() => {});
  }

  async #lookUp(name: string, fresh = false): Promise<TopicInfo | null> {
    for (let attempt = 0; ; attempt++) {
      try {
        const metadata = await this.admin.metadata({
          topics: [name],
          retries: 0,
          ...(fresh ? { forceUpdate: true } : {}),
        });
        const topic = metadata.topics.get(name);
        if (topic === undefined) return null;
        return { name, id: topic.id, leaders: topic.partitions.map((partition) => partition.leader) };
      } catch (error) {
        const failure = translateError(error, `topic "${name}"`);
        const missing = failure.code === "topic_not_found";
        if (missing && !fresh) return null;
        if (attempt === LOOK_UP_RETRIES || !(missing || failure.code === "unavailable")) {
          if (missing) return null;
          throw failure;
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_UP_PAUSE_MS * (attempt + 1)));
      }
    }
  }

  #remember(name: string): void {
    if (this.#missing.size > 1000) this.#missing.clear();
    this.#missing.set(name, Date.now() + MISSING_CACHE_MS);
  }
}

function unknownTopic(name: string): EdgeplaneError {
  return new EdgeplaneError(
    "topic_not_found",
    `The cluster has no topic "${name}": create it, or let the bridge create topics (kafka.topics.create).`,
  );
}
