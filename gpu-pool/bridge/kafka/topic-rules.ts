/**
 * What the cluster demands of a topic's records, known before they are sent: a produce that breaks off halfway can't be
 * taken back.
 */
import { ConfigResourceTypes } from "@platformatic/kafka";
import type { Admin } from "@platformatic/kafka";
import { DEFAULT_MAX_AHEAD_MS } from "../../../src/contract/kafka-limits.ts";

const MAX_AGE_MS = 60_000;
const MAX_KNOWN = 10_000;

export type TopicRules = {
  /** Of a batch of records as it is sent, and so of a record alone. */
  maxMessageBytes: number;
  /** Whether each record must have a key: the topic is compacted. */
  needsKey: boolean;
  /** How far ahead of the clock a record's own timestamp may be. */
  maxAheadMs: number;
};

/** Kafka's own defaults: what counts where the bridge's user may not read a topic's configuration. */
export const defaultRules: TopicRules = {
  maxMessageBytes: 1_048_588,
  needsKey: false,
  maxAheadMs: DEFAULT_MAX_AHEAD_MS,
};

const names = ["max.message.bytes", "cleanup.policy", "message.timestamp.after.max.ms", "message.timestamp.type"];

export class TopicRuleBook {
  readonly #admin: Pick<Admin, "describeConfigs">;
  readonly #known = new Map<string, { rules: Promise<TopicRules>; readAt: number }>();

  constructor(admin: Pick<Admin, "describeConfigs">) {
    this.#admin = admin;
  }

  /** At most a minute old. Never throws. */
  async of(topic: string): Promise<TopicRules> {
    const known = this.#known.get(topic);
    if (known !== undefined && Date.now() - known.readAt < MAX_AGE_MS) return known.rules;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const rules = this.#read(topic).catch(() => known?.rules ?? defaultRules);
    this.#known.set(topic, { rules, readAt: Date.now() });
    return rules;
  }

  async #read(topic: string): Promise<TopicRules> {
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: names };
    const [described] = await this.#admin.describeConfigs({ resources: [resource] });
    const values = new Map(described?.configs.map(({ name, value }) => [name, value]));
    const number = (name: string, otherwise: number): number => {
      const value = Number(values.get(name) ?? Number.NaN);
      return Number.isFinite(value) && value >= 0 ? value : otherwise;
    };
    const ownTime = values.get("message.timestamp.type") !== "LogAppendTime";
    return {
      maxMessageBytes: number("max.message.bytes", defaultRules.maxMessageBytes),
      needsKey: /compact/.test(values.get("cleanup.policy") ?? ""),
      maxAheadMs: ownTime ? number("message.timestamp.after.max.ms", defaultRules.maxAheadMs) : Infinity,
    };
  }
}
