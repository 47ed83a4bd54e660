/**
 * The consumer instances that live across requests. An instance: made by its first consume → used, one request at a
 * time → removed, by `delete-consumer`, by expiry when nobody asks, or at shutdown. Removal commits what was handed out
 * when auto commit is on.
 */
import { createHash } from "node:crypto";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { ConsumeHeaders } from "../../../src/contract/kafka-requests.ts";
import type { KafkaSettings } from "../settings.ts";
import { isAlone, mayHaveMore } from "../shares.ts";
import { clientOptions } from "./cluster.ts";
import { GroupMember } from "./member.ts";
import type { TakeLimits } from "./member.ts";
import type { TopicPartitionOffset } from "./places.ts";
import type { RestRecord } from "./records.ts";

const SWEEPS_PER_IDLE = 4;
/** An instance may ask for commits at any interval; sooner than this is not worth a call to the cluster. */
const LEAST_COMMIT_INTERVAL_MS = 100;
const priorityWeights: Readonly<Record<string, number>> = { high: 6, normal: 3, low: 1 };

export type InstanceName = { username: string; group: string; instance: string };

export class Instances {
  readonly #settings: KafkaSettings;
  readonly #instances = new Map<string, Instance>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(settings: KafkaSettings) {
    this.#settings = settings;
    const everyMs = settings.limits.instanceIdleMs / SWEEPS_PER_IDLE;
    this.#sweeper = setInterval(() => this.#sweep(), everyMs).unref();
  }

  get size(): number {
    return this.#instances.size;
  }

  get all(): Instance[] {
    return [...this.#instances.values()];
  }

  /** The instance, made when there is none. Throws `rate_limited` when there are too many, or too many of this user. */
  open(name: InstanceName, topics: readonly string[], headers: ConsumeHeaders): Instance {
    const key = keyOf(name);
    const found = this.#instances.get(key);
    if (found !== undefined) return found;
    const { maxInstances } = this.#settings.limits;
    const { size } = this.#instances;
    const own = this.all.filter((one) => one.name.username === name.username).length;
    if (!mayHaveMore(own, size, maxInstances, isAlone(this.#settings))) {
      const remedy = "remove those that are not needed with /delete-consumer, or raise kafka.limits.maxInstances";
      const held =
        size < maxInstances
          ? `The user "${name.username}" has ${own} of ${maxInstances} consumer instances; the rest is for others`
          : `The bridge holds ${maxInstances} consumer instances already`;
      throw new EdgeplaneError("rate_limited", `${held}: ${remedy}.`, { retryAfterMs: 1000 });
    }
    const instance = new Instance(this.#settings, name, topics, headers);
    this.#instances.set(key, instance);
    return instance;
  }

  /** Throws `unknown_member` when there is no such instance. */
  find(name: InstanceName): Instance {
    const found = this.#instances.get(keyOf(name));
    if (found !== undefined) return found;
    throw new EdgeplaneError(
      "unknown_member",
      `There is no consumer instance "${name.instance}" in group "${name.group}": consume first; an idle one expires.`,
    );
  }

  async remove(name: InstanceName): Promise<void> {
    const instance = this.find(name);
    this.#instances.delete(keyOf(name));
    await instance.close();
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    const all = this.all;
    this.#instances.clear();
    await Promise.all(all.map(async (instance) => instance.close()));
  }

  #sweep(): void {
    const oldest = performance.now() - this.#settings.limits.instanceIdleMs;
    for (const [key, instance] of this.#instances) {
      if (instance.busy || instance.usedAt > oldest) continue;
      this.#instances.delete(key);
      void instance.close();
    }
  }
}

export class Instance {
  readonly name: InstanceName;
  readonly #member: GroupMember;
  readonly #autoCommit: boolean;
  readonly #committer: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting: AbortController | undefined;
  #users = 0;
  #usedAt = performance.now();

  constructor(settings: KafkaSettings, name: InstanceName, topics: readonly string[], headers: ConsumeHeaders) {
    this.name = name;
    this.#member = new GroupMember({
      client: clientOptions(settings),
      groupId: name.group,
      staticId: `${settings.clientId}-${createHash("sha256").update(keyOf(name)).digest("hex").slice(0, 24)}`,
      topics,
      offsetReset: headers.offsetReset,
      sessionTimeoutMs: settings.sessionTimeoutMs,
      heartbeatIntervalMs: settings.heartbeatIntervalMs,
      maxFetchBytes: settings.limits.maxConsumeBytes,
      weightOf: jobTopicWeight,
    });
    this.#autoCommit = headers.autoCommit;
    if (headers.autoCommit) {
      let isCommitting = false;
      const commit = () => {
        if (isCommitting) return;
        isCommitting = true;
        const isOver = () => void (isCommitting = false);
        this.#member.commit().then(isOver, isOver);
      };
      this.#committer = setInterval(commit, Math.max(headers.autoCommitIntervalMs, LEAST_COMMIT_INTERVAL_MS)).unref();
    }
  }

  get busy(): boolean {
    return this.#users > 0;
  }

  get usedAt(): number {
    return this.#usedAt;
  }

  get topics(): readonly string[] {
    return this.#member.topics;
  }

  /** Whether it takes part in its group. */
  get joined(): boolean {
    return this.#member.settled;
  }

  get assignments(): { topic: string; partitions: number[] }[] {
    return this.#member.assignments;
  }

  /** Consumes for one request at a time: a consume that still waits ends with nothing when the next one comes. */
  async consume(topics: readonly string[], limits: TakeLimits & { signal: AbortSignal }): Promise<RestRecord[]> {
    this.#waiting?.abort();
    const waiting = new AbortController();
    this.#waiting = waiting;
    const signal = AbortSignal.any([limits.signal, waiting.signal]);
    return this.#use(async () => {
      const turn = this.#turn.then(async () => {
        if (signal.aborted) return [];
        await this.#member.subscribe(topics);
        return this.#member.take({ ...limits, signal });
      });
      this.#turn = turn.catch(() => {});
      return turn;
    });
  }

  async commit(offsets: readonly TopicPartitionOffset[] | undefined): Promise<void> {
    await this.#use(async () => this.#member.commit(offsets));
  }

  putBack(records: readonly RestRecord[]): void {
    this.#member.putBack(records);
  }

  async close(): Promise<void> {
    clearInterval(this.#committer);
    if (this.#autoCommit && this.#member.hasUncommitted) await this.#member.commit().catch(() => {});
    await this.#member.close();
  }

  async #use<T>(work: () => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await work();
    } finally {
      this.#users--;
      this.#usedAt = performance.now();
    }
  }
}

/** A lane's three topics are drained by weight; every other topic counts 1. */
export function jobTopicWeight(topic: string): number {
  return topic.startsWith("jobs.") ? (priorityWeights[topic.slice(topic.lastIndexOf(".") + 1)] ?? 1) : 1;
}

function keyOf({ username, group, instance }: InstanceName): string {
  return `${username}\n${group}\n${instance}`;
}
