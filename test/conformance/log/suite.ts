/**
 * What every log behind the Upstash Kafka REST dialect must do, told through `@upstash/kafka` unmodified and, where that has no
 * call, plain HTTP. It holds for the embedded log and for a bridge in front of a real Kafka alike: it waits for group joins,
 * never counts on a partition count, and uses topics of its own.
 */
import { Kafka } from "@upstash/kafka";
import type { Message } from "@upstash/kafka";
import { afterAll, describe, expect, it } from "vitest";

export type LogTarget = {
  name: string;
  /** Base URL of the dialect. A getter, as the server may start after the tests were collected. */
  url: () => string;
  username: string;
  password: string;
};

/** How long a group may take to give an instance its partitions. */
const JOIN_MS = 15_000;

/** Defines the conformance tests of one target; its user may produce to, consume from and create any topic. */
export function runLogConformance(target: LogTarget): void {
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

  describe(`log: ${target.name}`, { timeout: 60_000 }, () => {
    afterAll(async () => {
      for (const { group, instance } of instances) await call("POST", `/delete-consumer/${group}/${instance}`);
    });

    describe("produce", () => {
      it("answers where the record is, and offsets count up within a partition", async () => {
        const topic = await topicWith("first");
        const before = Date.now() - 60_000;
        const second = await kafka().producer().produce(topic, { hello: "world" }, { partition: 0 });
        expect(second).toMatchObject({ topic, partition: 0, offset: 1 });
        expect(second.timestamp).toBeGreaterThan(before);
      });

      it("keeps value, key, headers and timestamp", async () => {
        const topic = await topicWith("first");
        const headers = [
          { key: "trace", value: "85a9f12" },
          { key: "trace", value: "Größe ✓" },
        ];
        const sent = { partition: 0, key: "clé", headers, timestamp: 1_700_000_000_123 };
        const { offset } = await kafka().producer().produce(topic, 'a "quoted"\nvalue ✓ 🎈', sent);
        const [message] = await kafka().consumer().fetch({ topic, partition: 0, offset });
        expect(message).toEqual({
          topic,
          partition: 0,
          offset,
          key: "clé",
          value: 'a "quoted"\nvalue ✓ 🎈',
          headers,
          timestamp: 1_700_000_000_123,
        });
      });

      it("answers many records of many topics in the order of the request", async () => {
        const [red, blue] = [await topicWith("r"), await topicWith("b")];
        const requests = Array.from({ length: 40 }, (_, index) => ({
          topic: index % 2 === 0 ? red : blue,
          value: `value ${index}`,
          partition: 0,
        }));
        const produced = await kafka().producer().produceMany(requests);
        expect(produced.map((entry) => entry.topic)).toEqual(requests.map((entry) => entry.topic));
        const reds = produced.filter((entry) => entry.topic === red).map((entry) => entry.offset);
        expect(reds).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
      });

      it("puts equal keys into one partition, by murmur2 as Kafka's own clients do", async () => {
        const topic = await topicWith("first");
        const keys = ["a", "b", "c", "user-1", "user-2", "clé"];
        const produce = async () =>
          kafka()
            .producer()
            .produceMany(keys.map((key) => ({ topic, key, value: key })));
        const [once, again] = [await produce(), await produce()];
        expect(again.map((entry) => entry.partition)).toEqual(once.map((entry) => entry.partition));
      });

      it("takes the forms without a body, and those of one topic", async () => {
        const topic = await topicWith("first");
        const single = await call("GET", `/produce/${topic}/${encodeURIComponent("hello kafka / ✓")}?key=city`);
        expect(single.status).toBe(200);
        const place = single.json as { topic: string; partition: number; offset: number };
        expect(place.topic).toBe(topic);
        const [message] = await kafka().consumer().fetch({ topic, partition: place.partition, offset: place.offset });
        expect(message).toMatchObject({ key: "city", value: "hello kafka / ✓" });

        const one = await call("POST", `/produce/${topic}`, '{"value": "one", "partition": 0}');
        expect(one.json).toMatchObject([{ topic, partition: 0 }]);
        const many = await call("POST", `/produce/${topic}`, '[{"value": "two"}, {"value": "three"}]');
        expect(many.json).toMatchObject([{ topic }, { topic }]);
      });
    });

    describe("fetch", () => {
      it("reads from an offset in the middle of what was produced at once", async () => {
        const topic = await topicWith("0");
        const values = Array.from({ length: 9 }, (_, index) => ({ topic, partition: 0, value: String(index + 1) }));
        await kafka().producer().produceMany(values);
        const messages = await kafka().consumer().fetch({ topic, partition: 0, offset: 4 });
        expect(messages.map((message) => message.offset)).toEqual([4, 5, 6, 7, 8, 9]);
        expect(messages.map((message) => message.value)).toEqual(["4", "5", "6", "7", "8", "9"]);
      });

      it.each([true, false])("reads several partitions, parallel: %s", async (parallel) => {
        const [red, blue] = [await topicWith("red"), await topicWith("blue")];
        const seen = new Set<string>();
        const from = [
          { topic: red, partition: 0, offset: 0 },
          { topic: blue, partition: 0, offset: 0 },
        ];
        // Not in parallel, a server may answer one topic at a time; asking again for the other finds it.
        for (let turn = 0; turn < 4 && seen.size < 2; turn++) {
          const topicPartitionOffsets = from.filter((entry) => !seen.has(entry.topic));
          const messages = await kafka().consumer().fetch({ topicPartitionOffsets, timeout: 2000 }, { parallel });
          for (const message of messages) seen.add(message.topic);
        }
        expect([...seen].toSorted()).toEqual([red, blue].toSorted());
      });

      it("waits for a record that isn't there yet, and answers [] when none comes", async () => {
        const topic = await topicWith("first");
        const startedAt = Date.now();
        expect(await kafka().consumer().fetch({ topic, partition: 0, offset: 1, timeout: 300 })).toEqual([]);
        expect(Date.now() - startedAt).toBeLessThan(5000);
        const waiting = kafka().consumer().fetch({ topic, partition: 0, offset: 1, timeout: 10_000 });
        await new Promise((resolve) => setTimeout(resolve, 200));
        await kafka().producer().produce(topic, "second", { partition: 0 });
        expect((await waiting).map((message) => message.value)).toEqual(["second"]);
      });

      it("refuses an offset that isn't there, a partition that isn't, and a topic that isn't", async () => {
        const topic = await topicWith("first");
        const ask = async (body: object) => call("POST", "/fetch", JSON.stringify({ timeout: 500, ...body }));
        expect(await ask({ topic, partition: 0, offset: 999 })).toMatchObject({ status: 400, json: { status: 400 } });
        expect(await ask({ topic, partition: 9999, offset: 0 })).toMatchObject({ status: 404, json: { status: 404 } });
        expect(await ask({})).toMatchObject({ status: 400, json: { status: 400 } });
      });
    });

    describe("consume", () => {
      it("hands out every record once to a group, from the earliest on", async () => {
        const topic = await topicWith("first");
        const values = Array.from({ length: 50 }, (_, index) => `value ${index}`);
        await kafka()
          .producer()
          .produceMany(values.map((value) => ({ topic, value })));
        const who = member();
        const request = { ...who, topics: [topic], autoOffsetReset: "earliest" as const };
        const messages = await consumeUntil(request, (found) => found.length >= 51);
        expect(messages.map((message) => message.value).toSorted()).toEqual(["first", ...values].toSorted());
        expect(
          await kafka()
            .consumer()
            .consume({ ...request, timeout: 300 }),
        ).toEqual([]);
      });

      it("by default begins at the latest", async () => {
        const topic = await topicWith("old");
        const who = member();
        await join(who, topic);
        await kafka().producer().produce(topic, "new", { partition: 0 });
        const messages = await consumeUntil({ ...who, topics: [topic] }, (found) => found.length > 0);
        expect(messages.map((message) => message.value)).toEqual(["new"]);
      });

      it("wakes when a record arrives", async () => {
        const topic = await topicWith("old");
        const who = member();
        await join(who, topic);
        const waiting = kafka()
          .consumer()
          .consume({ ...who, topics: [topic], timeout: 10_000 });
        await new Promise((resolve) => setTimeout(resolve, 300));
        const sentAt = Date.now();
        await kafka().producer().produce(topic, "new", { partition: 0 });
        expect((await waiting).map((message) => message.value)).toEqual(["new"]);
        expect(Date.now() - sentAt).toBeLessThan(3000);
      });

      it("takes the form without a body", async () => {
        const topic = await topicWith("first");
        const { consumerGroupId, instanceId } = member();
        const deadline = Date.now() + JOIN_MS;
        let found: unknown = [];
        while (Array.isArray(found) && found.length === 0 && Date.now() < deadline) {
          const path = `/consume/${consumerGroupId}/${instanceId}/${topic}?timeout=500`;
          found = (await call("GET", path, undefined, { "Kafka-Auto-Offset-Reset": "earliest" })).json;
        }
        expect(found).toMatchObject([{ topic, value: "first", key: "", headers: [] }]);
      });

      it("shares a topic's partitions among instances, and hands a leaver's on", async () => {
        const topic = await topicWith("first");
        const { [topic]: partitions = 0 } = await kafka().admin().topics();
        const group = fresh("group");
        const [one, two] = [member(group), member(group)];
        const assigned = async (): Promise<Map<string, number[]>> => {
          const found = (await kafka().admin().consumers()).find((entry) => entry.name === group);
          const lists = found?.instances.map(
            (instance) => [instance.name, instance.topics.flatMap((entry) => entry.partitions)] as const,
          );
          return new Map(lists);
        };
        const settled = async (accept: (owners: Map<string, number[]>) => boolean, ...who: (typeof one)[]) => {
          const deadline = Date.now() + JOIN_MS;
          let owners = new Map<string, number[]>();
          while (Date.now() < deadline) {
            await Promise.all(
              who.map(async (entry) =>
                kafka()
                  .consumer()
                  .consume({ ...entry, topics: [topic], timeout: 200 }),
              ),
            );
            owners = await assigned();
            if (accept(owners)) break;
          }
          return owners;
        };
        const everything = Array.from({ length: partitions }, (_, index) => index);
        const both = await settled(
          (owners) => {
            const all = [...owners.values()].flat();
            return owners.size === 2 && all.length === partitions && new Set(all).size === partitions;
          },
          one,
          two,
        );
        expect([...both.values()].flat().toSorted((a, b) => a - b)).toEqual(everything);
        if (partitions > 1) expect(Math.min(...[...both.values()].map((list) => list.length))).toBeGreaterThan(0);

        await kafka().admin().removeConsumerInstance(group, two.instanceId);
        const left = await settled((owners) => owners.get(one.instanceId)?.length === partitions, one);
        expect(left.get(one.instanceId)?.toSorted((a, b) => a - b)).toEqual(everything);
      });
    });

    describe("commit", () => {
      it("stores an offset as it was sent, and the group goes on there", async () => {
        const topic = await topicWith("0");
        await kafka()
          .producer()
          .produceMany(["1", "2", "3"].map((value) => ({ topic, value, partition: 0 })));
        const group = fresh("group");
        const first = member(group);
        const request = { ...first, topics: [topic], autoOffsetReset: "earliest" as const, autoCommit: false };
        const all = await consumeUntil(request, (found) => found.length >= 4);
        expect(all).toHaveLength(4);
        const ask = { ...first, topicPartitions: [{ topic, partition: 0 }] };
        await kafka()
          .consumer()
          .commit({ ...first, offset: { topic, partition: 0, offset: 2 } });
        expect(await kafka().consumer().committed(ask)).toEqual([{ topic, partition: 0, offset: 2 }]);

        await kafka().admin().removeConsumerInstance(group, first.instanceId);
        const second = member(group);
        const again = await consumeUntil({ ...request, ...second }, (found) => found.length >= 2);
        expect(again.map((message) => message.value)).toEqual(["2", "3"]);
      });

      it("without a body commits all that was consumed", async () => {
        const topic = await topicWith("0");
        await kafka().producer().produce(topic, "1", { partition: 0 });
        const who = member();
        const request = { ...who, topics: [topic], autoOffsetReset: "earliest" as const, autoCommit: false };
        await consumeUntil(request, (found) => found.length >= 2);
        await kafka().consumer().commit(who);
        const committed = await kafka()
          .consumer()
          .committed({ ...who, topicPartitions: [{ topic, partition: 0 }] });
        expect(committed).toEqual([{ topic, partition: 0, offset: 2 }]);
      });

      it("commits on its own when it wasn't told otherwise", async () => {
        const topic = await topicWith("0");
        const who = member();
        const request = { ...who, topics: [topic], autoOffsetReset: "earliest" as const, autoCommitInterval: 200 };
        await consumeUntil(request, (found) => found.length > 0);
        const deadline = Date.now() + JOIN_MS;
        let committed = -1;
        while (committed < 1 && Date.now() < deadline) {
          await kafka()
            .consumer()
            .consume({ ...request, timeout: 300 });
          const [entry] = await kafka()
            .admin()
            .committedOffsets({ ...who, topicPartition: { topic, partition: 0 } });
          committed = entry?.offset ?? -1;
        }
        expect(committed).toBe(1);
      });

      it("without automatic commits leaves everything to the next instance", async () => {
        const topic = await topicWith("0");
        const group = fresh("group");
        const first = member(group);
        const request = { ...first, topics: [topic], autoOffsetReset: "earliest" as const, autoCommit: false };
        expect(await consumeUntil(request, (found) => found.length > 0)).toHaveLength(1);
        const [before] = await kafka()
          .admin()
          .committedOffsets({ ...first, topicPartition: { topic, partition: 0 } });
        expect(before?.offset).toBe(-1);
        await kafka().admin().removeConsumerInstance(group, first.instanceId);
        const again = await consumeUntil({ ...request, ...member(group) }, (found) => found.length > 0);
        expect(again.map((message) => message.value)).toEqual(["0"]);
      });

      it("answers Success", async () => {
        const topic = await topicWith("0");
        const who = member();
        await join(who, topic);
        const path = `${who.consumerGroupId}/${who.instanceId}`;
        const committed = await call("POST", `/commit/${path}`, `[{"topic": "${topic}", "partition": 0, "offset": 1}]`);
        expect(committed).toMatchObject({ status: 200, json: { result: "Success", status: 200 } });
        expect(await call("POST", `/commit/${path}`)).toMatchObject({ json: { result: "Success" } });
        expect(await call("DELETE", `/delete-consumer/${path}`)).toMatchObject({ json: { result: "Success" } });
      });
    });

    describe("offsets and listings", () => {
      it("tells the earliest, the latest, and the offset at a time", async () => {
        const topic = fresh("topic");
        const times = [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000];
        await kafka()
          .producer()
          .produceMany(times.map((timestamp) => ({ topic, partition: 0, timestamp, value: String(timestamp) })));
        const at = async (timestamp: number | "earliest" | "latest") =>
          (
            await kafka()
              .admin()
              .topicPartitionOffsets({ timestamp, topicPartition: { topic, partition: 0 } })
          )[0]?.offset;
        expect(await at("earliest")).toBe(0);
        expect(await at("latest")).toBe(3);
        expect(await at(times[1] ?? 0)).toBe(1);
        expect(await at((times[1] ?? 0) + 1)).toBe(2);
        expect(await at(1)).toBe(0);
        expect(await at(Date.now() + 86_400_000)).toBe(-1);
        const both = await kafka()
          .admin()
          .topicPartitionOffsets({
            timestamp: "latest",
            topicPartitions: [
              { topic, partition: 0 },
              { topic, partition: 0 },
            ],
          });
        expect(both).toHaveLength(2);
      });

      it("lists topics with their partition counts", async () => {
        const topic = await topicWith("first");
        const topics = await kafka().admin().topics();
        expect(topics[topic]).toBeGreaterThan(0);
      });
    });

    describe("errors", () => {
      it("are JSON with an error and a status, always", async () => {
        const cases: [method: string, path: string, body: string | undefined, status: number][] = [
          ["POST", "/produce", "{not json", 400],
          ["POST", "/produce", undefined, 400],
          ["POST", "/produce", "[]", 400],
          ["POST", "/produce", '{"topic": "a"}', 400],
          ["POST", "/produce", '{"topic": "a", "value": {"not": "text"}}', 400],
          ["POST", "/produce", '{"topic": "no spaces", "value": "x"}', 400],
          ["POST", "/consume/g/i", "{}", 400],
          ["POST", "/offsets/yesterday", '{"topic": "a", "partition": 0}', 400],
          ["POST", `/commit/${fresh("group")}/nobody`, undefined, 404],
          ["POST", `/delete-consumer/${fresh("group")}/nobody`, undefined, 404],
          ["POST", "/no-such-call", "{}", 404],
        ];
        for (const [method, path, body, status] of cases) {
          const reply = await call(method, path, body);
          expect
            .soft(reply, `${method} ${path} ${body}`)
            .toMatchObject({ status, json: { status, error: expect.any(String) } });
          expect.soft(reply.type).toContain("application/json");
        }
      });

      it("refuse wrong credentials", async () => {
        const response = await fetch(`${target.url()}/topics`, {
          headers: { authorization: `Basic ${btoa("test:wrong")}` },
        });
        expect(response.status).toBe(401);
        expect(await response.json()).toMatchObject({ status: 401, error: expect.any(String) });
      });

      it("refuse a header that makes no sense", async () => {
        const topic = await topicWith("first");
        const { consumerGroupId, instanceId } = member();
        const path = `/consume/${consumerGroupId}/${instanceId}`;
        const reply = await call("POST", path, `{"topic": "${topic}"}`, { "Kafka-Auto-Offset-Reset": "sometimes" });
        expect(reply).toMatchObject({ status: 400, json: { status: 400 } });
      });
    });
  });
}
