/**
 * Conformance to what users of `@upstash/kafka` rely on: each thing that the client's own published tests assert and
 * the other suites don't.
 */
import { Kafka } from "@upstash/kafka";
import { describe, expect, it } from "vitest";
import type { LogContext, LogTarget } from "./context.ts";

export function clientTests(context: LogContext, target: LogTarget): void {
  const { kafka, fresh, member, topicWith, consumeUntil, join } = context;
  const header = { key: "signature", value: "signed" };

  describe("the client's own cases", () => {
    it.each([
      ["an object, serialized", { answer: [42, null] }, '{"answer":[42,null]}'],
      ["a number, serialized", 42, "42"],
      ["a text, as it is", "plain text", "plain text"],
    ])("carries %s, with its header", async (_what, sent, stored) => {
      const topic = await topicWith("first");
      const { partition, offset } = await kafka()
        .producer()
        .produce(topic, sent, { headers: [header] });
      const [found] = await kafka().consumer().fetch({ topic, partition, offset });
      expect(found).toMatchObject({ topic, partition, offset, value: stored, headers: [header] });
    });

    it("fetches what was produced to several topics, in the order that it is asked in", async () => {
      const topics = [await topicWith("first"), await topicWith("first"), await topicWith("first")];
      const places = await kafka()
        .producer()
        .produceMany(topics.map((topic, index) => ({ topic, key: `key ${index}`, value: { number: index } })));
      const asked = places.map(({ topic, partition, offset }) => ({ topic, partition, offset })).toReversed();
      const found = await kafka().consumer().fetch({ topicPartitionOffsets: asked });
      expect(found.map(({ topic, key, value }) => [topic, key, value])).toEqual(
        topics.map((topic, index) => [topic, `key ${index}`, `{"number":${index}}`]).toReversed(),
      );
    });

    it("works with a base URL that ends in a slash", async () => {
      const topic = await topicWith("first");
      const { username, password } = target;
      const slashed = new Kafka({ url: `${target.url()}/`, username, password });
      expect(Object.keys(await slashed.admin().topics())).toContain(topic);
    });

    it("consumes several topics with one instance, with its own settings", async () => {
      const topics = [await topicWith("one"), await topicWith("two")];
      const request = { ...member(), topics, autoOffsetReset: "earliest" as const };
      const found = await consumeUntil(
        { ...request, autoCommit: false, autoCommitInterval: 7000 },
        (messages) => messages.length >= 2,
      );
      expect(found.map(({ value }) => value).toSorted()).toEqual(["one", "two"]);
    });

    it("lists a group with its instance and what that is assigned, until it is removed", async () => {
      const topic = await topicWith("first");
      const who = member();
      await join(who, topic);
      const instanceNames = async () =>
        (await kafka().admin().consumers())
          .filter(({ name }) => name === who.consumerGroupId)
          .flatMap(({ instances }) => instances.map(({ name }) => name));
      expect(await instanceNames()).toEqual([who.instanceId]);
      await kafka().admin().removeConsumerInstance(who.consumerGroupId, who.instanceId);
      expect(await instanceNames()).toEqual([]);
    });

    it("commits where nothing was consumed, and tells it from what was there before", async () => {
      const topic = await topicWith("first");
      const who = member();
      const { offset } = await kafka().producer().produce(topic, "second", { partition: 0 });
      await join(who, topic, false);
      const ask = { ...who, topicPartitions: [{ topic, partition: 0 }] };
      expect(await kafka().consumer().committed(ask)).toEqual([{ topic, partition: 0, offset: -1 }]);
      await kafka()
        .consumer()
        .commit({ ...who, offset: { topic, partition: 0, offset } });
      expect(await kafka().consumer().committed(ask)).toEqual([{ topic, partition: 0, offset }]);
    });

    it("tells committed offsets of one partition, and of several topics, in the order that they are asked in", async () => {
      const topics = [await topicWith("first"), await topicWith("first")];
      const who = member();
      await kafka()
        .consumer()
        .consume({ ...who, topics, timeout: 200, autoCommit: false });
      const partitions = topics.map((topic) => ({ topic, partition: 0 }));
      await kafka()
        .consumer()
        .commit({ ...who, offset: partitions.map((place, index) => ({ ...place, offset: index })) });
      const [first = { topic: "", partition: 0 }] = partitions;
      const admin = kafka().admin();
      expect(await admin.committedOffsets({ ...who, topicPartition: first })).toEqual([{ ...first, offset: 0 }]);
      expect(await admin.committedOffsets({ ...who, topicPartitions: partitions.toReversed() })).toEqual(
        partitions.map((place, index) => ({ ...place, offset: index })).toReversed(),
      );
    });

    it("tells offsets at a time in seconds, as if it were in milliseconds, of one topic and of several", async () => {
      const topics = [fresh("topic"), fresh("topic")];
      await kafka()
        .producer()
        .produceMany(topics.map((topic) => ({ topic, value: "first", partition: 0 })));
      const timestamp = Math.floor(Date.now() / 1000);
      const partitions = topics.map((topic) => ({ topic, partition: 0 }));
      const [first = { topic: "", partition: 0 }] = partitions;
      const admin = kafka().admin();
      expect(await admin.topicPartitionOffsets({ timestamp, topicPartition: first })).toEqual([
        { ...first, offset: 0 },
      ]);
      expect(await admin.topicPartitionOffsets({ timestamp, topicPartitions: partitions })).toEqual(
        partitions.map((place) => ({ ...place, offset: 0 })),
      );
    });
  });
}
