/** The hands of the conformance tests: `@upstash/kafka` unmodified, and plain HTTP where that has no call. */
import { Kafka } from "@upstash/kafka";
import type { Message } from "@upstash/kafka";

export type LogTarget = {
  name: string;
  /** Base URL of the dialect. A getter, as the server may start after the tests were collected. */
  url: () => string;
  username: string;
  password: string;
};

/** How long a group may take to give an instance its partitions. */
export const JOIN_MS = 15_000;

/** What the time of a call goes through: the client, the door and the log behind it. */
export const PROCESSES = 3;

export type LogContext = ReturnType<typeof createLogContext>;

/** What the tests of one target share: clients, names of their own, and the instances to remove in the end. */
export function createLogContext(target: LogTarget) {
  const kafka = (): Kafka => new Kafka({ url: target.url(), username: target.username, password: target.password });
  const instances: { group: string; instance: string }[] = [];
  const run = crypto.randomUUID().slice(0, 8);
  let serial = 0;
  const fresh = (what: string): string => `conformance.${run}.${what}.${++serial}`;

  function member(group = fresh("group")): { consumerGroupId: string; instanceId: string } {
    const instanceId = `instance-${++serial}`;
    instances.push({ group, instance: instanceId });
    return { consumerGroupId: group, instanceId };
  }

  /** Makes a topic by its first record, which stays at offset 0 of partition 0. */
  async function topicWith(value: string): Promise<string> {
    const topic = fresh("topic");
    await kafka().producer().produce(topic, value, { partition: 0 });
    return topic;
  }

  async function call(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
    const authorization = `Basic ${btoa(`${target.username}:${target.password}`)}`;
    const init = { method, headers: { authorization, ...headers }, ...(body === undefined ? {} : { body }) };
    const response = await fetch(`${target.url()}${path}`, init);
    const text = await response.text();
    return {
      status: response.status,
      type: response.headers.get("content-type") ?? "",
      json: JSON.parse(text) as unknown,
    };
  }

  /** Consumes until `enough` says so, or the group had long enough. */
  async function consumeUntil(
    request: Parameters<ReturnType<Kafka["consumer"]>["consume"]>[0],
    enough: (messages: Message[]) => boolean,
  ): Promise<Message[]> {
    const found: Message[] = [];
    const deadline = Date.now() + JOIN_MS;
    while (!enough(found) && Date.now() < deadline) {
      found.push(
        ...(await kafka()
          .consumer()
          .consume({ timeout: 500, ...request })),
      );
    }
    return found;
  }

  /** Joins with `latest` and comes back once the instance has partitions of the topic. */
  async function join(
    who: { consumerGroupId: string; instanceId: string },
    topic: string,
    autoCommit = true,
  ): Promise<void> {
    const deadline = Date.now() + JOIN_MS;
    while (Date.now() < deadline) {
      await kafka()
        .consumer()
        .consume({ ...who, topics: [topic], timeout: 200, autoOffsetReset: "latest", autoCommit });
      const groups = await kafka().admin().consumers();
      const own = groups
        .find((group) => group.name === who.consumerGroupId)
        ?.instances.find((instance) => instance.name === who.instanceId);
      if (own?.topics.some((entry) => entry.topic === topic && entry.partitions.length > 0)) return;
    }
    throw new Error(`${who.instanceId} got no partitions of ${topic}`);
  }

  /** Removes every instance that the tests made. */
  async function leaveAll(): Promise<void> {
    for (const { group, instance } of instances) await call("POST", `/delete-consumer/${group}/${instance}`);
  }

  return { kafka, fresh, member, topicWith, call, consumeUntil, join, leaveAll };
}
