/**
 * What every log behind the Upstash Kafka REST dialect must do, told through `@upstash/kafka` unmodified and, where
 * that has no call, plain HTTP. It holds for the embedded log and for a bridge in front of a real Kafka alike: it waits
 * for group joins, never counts on a partition count, and uses topics of its own.
 */
import { afterAll, describe, expect, it } from "vitest";
import { startStopwatch } from "../../stalls.ts";
import { createLogContext, PROCESSES } from "./context.ts";
import type { LogTarget } from "./context.ts";
import { borderTests } from "./suite-borders.ts";
import { clientTests } from "./suite-client.ts";
import { groupTests } from "./suite-groups.ts";

export type { LogTarget } from "./context.ts";

const anyText = expect.stringMatching(/./) as unknown;

/** Defines the conformance tests of one target; its user may produce to, consume from and create any topic. */
export function runLogConformance(target: LogTarget): void {
  const context = createLogContext(target);
  const { kafka, fresh, member, topicWith, call, leaveAll } = context;

  describe(`log: ${target.name}`, { timeout: 60_000 }, () => {
    afterAll(leaveAll);

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
        using watch = startStopwatch(PROCESSES);
        expect(await kafka().consumer().fetch({ topic, partition: 0, offset: 1, timeout: 300 })).toEqual([]);
        expect(watch.ms()).toBeLessThan(5000);
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

    groupTests(context);
    clientTests(context, target);
    borderTests(context, target);

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
          expect.soft(reply, `${method} ${path} ${body}`).toMatchObject({ status, json: { status, error: anyText } });
          expect.soft(reply.type).toContain("application/json");
        }
      });

      it("refuse wrong credentials", async () => {
        const response = await fetch(`${target.url()}/topics`, {
          headers: { authorization: `Basic ${btoa("test:wrong")}` },
        });
        expect(response.status).toBe(401);
        expect(await response.json()).toMatchObject({ status: 401, error: anyText });
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
