/**
 * `@upstash/kafka`, unmodified, against `/kafka`: the stack's Kafka user makes a topic by using it, produces and
 * consumes.
 */
import { Kafka } from "@upstash/kafka";
import { expect, inject, test } from "vitest";

const { kafka: credentials } = inject("stack");
const kafka = new Kafka(credentials);
const topic = `e2e.${crypto.randomUUID()}`;

test("what is produced is consumed, in order, and committed", async () => {
  const producer = kafka.producer();
  const sent = await producer.produceMany([
    { topic, value: "one", key: "k" },
    { topic, value: { two: 2 }, key: "k", headers: [{ key: "h", value: "v" }] },
  ]);
  expect(sent.map(({ offset }) => offset)).toEqual([0, 1]);

  const consumer = kafka.consumer();
  const ask = { consumerGroupId: topic, instanceId: "i1", topics: [topic] };
  const got = await consumer.consume({ ...ask, autoOffsetReset: "earliest", autoCommit: false });
  expect(got.map(({ value }) => value)).toEqual(["one", '{"two":2}']);
  expect(got[1]?.headers).toEqual([{ key: "h", value: "v" }]);

  const offset = { topic, partition: got[1]?.partition ?? 0, offset: 1 };
  await consumer.commit({ consumerGroupId: topic, instanceId: "i1", offset });
  const [committed] = await consumer.committed({
    consumerGroupId: topic,
    instanceId: "i1",
    topicPartitions: [{ topic, partition: offset.partition }],
  });
  expect(committed?.offset).toBe(1);
});

test("topics and consumer groups are listed", async () => {
  expect(Object.keys(await kafka.admin().topics())).toContain(topic);
  const groups = await kafka.admin().consumers();
  expect(groups.map(({ name }) => name)).toContain(topic);
});

test("fetch reads at an offset", async () => {
  const [record] = await kafka.consumer().fetch({ topic, partition: 0, offset: 1 });
  expect(record?.value).toBe('{"two":2}');
});
