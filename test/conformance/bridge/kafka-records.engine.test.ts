/** The Kafka door over a real Kafka: producing, fetching and offsets. */
import { Admin } from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Cluster } from "../../../gpu-pool/bridge/kafka/cluster.ts";
import { CoalescingProducer } from "../../../gpu-pool/bridge/kafka/producer.ts";
import { KafkaSettingsSchema } from "../../../gpu-pool/bridge/settings.ts";
import { hasJava } from "./engines.ts";
import { all, RecordsSchema, anyPlace, saying, useKafkaDoor } from "./fixture.ts";

const PlacesSchema = z.array(z.object({ offset: z.number() }));

describe.runIf(hasJava)("Kafka door: records", () => {
  const { name, engine, url, client, call } = useKafkaDoor();

  it("answers produces in their order, over several topics and partitions", async () => {
    const [one, two] = [name("a."), name("b.")];
    const records = Array.from({ length: 40 }, (_, index) => ({
      topic: index % 3 === 0 ? one : two,
      value: `v${index}`,
      partition: index % 4,
    }));
    const produced = await client().producer().produceMany(records);
    expect(produced.map(({ topic, partition }) => ({ topic, partition }))).toEqual(
      records.map(({ topic, partition }) => ({ topic, partition })),
    );
    const read = await client()
      .consumer()
      .fetch({
        topicPartitionOffsets: produced.map(({ topic, partition, offset }) => ({ topic, partition, offset })),
        timeout: 500,
      });
    const values = new Map(
      read.map((record) => [`${record.topic} ${record.partition} ${record.offset}`, record.value]),
    );
    for (const [index, { topic, partition, offset }] of produced.entries()) {
      expect(values.get(`${topic} ${partition} ${offset}`)).toBe(`v${index}`);
    }
  });

  it("puts a key where the Java client puts it, and keeps key, headers (repeated ones too) and timestamp", async () => {
    const topic = name("k.");
    const headers = [...["a", "b"].map((value) => ({ key: "h", value })), { key: "ü", value: "é" }];
    const [first, second] = await client()
      .producer()
      .produceMany([
        { topic, value: "x", key: "foobar", headers, timestamp: 1_700_000_000_000 },
        { topic, value: "y", key: "foobar" },
      ]);
    // murmur2("foobar") is -790332482 in the tests of kafka-clients; & 0x7fffffff, % 4 partitions
    expect(first).toEqual({ topic, ...anyPlace, partition: 2, timestamp: 1_700_000_000_000 });
    expect(second?.partition).toBe(first?.partition);
    const [record] = await client()
      .consumer()
      .fetch({ topic, partition: first?.partition ?? 0, offset: 0, timeout: 500 });
    expect(record).toMatchObject({ key: "foobar", value: "x", headers, timestamp: 1_700_000_000_000 });
  });

  it("coalesces concurrent produces into few requests, and answers each with its own offsets", async () => {
    const topic = name("c.");
    await client().producer().produce(topic, "first");
    const settings = { brokers: engine().brokers, users: [all] };
    const parsed = KafkaSettingsSchema.parse(settings);
    const cluster = new Cluster(parsed);
    let sends = 0;
    const producer = new CoalescingProducer(cluster, parsed.limits, { onSend: () => sends++ });
    const produced = await Promise.all(
      Array.from({ length: 500 }, async (_, index) => producer.produce([{ topic, value: `v${index}`, partition: 1 }])),
    );
    expect(new Set(produced.map(([record]) => record?.offset)).size).toBe(500);
    expect(sends).toBeLessThan(10);
    await producer.close();
    await cluster.close();
  });

  it("fails only the request whose record the cluster refuses", async () => {
    const topic = name("f.");
    await client().producer().produce(topic, "first");
    const huge = { topic, value: "x".repeat(1_500_000), partition: 0 };
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, async (_, index) =>
        call("produce", { body: { topic, value: `v${index}`, partition: 0 } }),
      ),
      call("produce", { body: huge }),
    ]);
    expect(answers.slice(0, 20).map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(answers[20]).toMatchObject({ status: 413, reply: { code: "payload_too_large" } });
  });

  it("takes the largest record that its topic allows, and not a byte more", async () => {
    const topic = name("large.");
    await client().producer().produce(topic, "first");
    // The batch's header, the record's own fields, and the lengths of its key and value: what the cluster counts
    // besides these.
    const value = "x".repeat(1_048_588 - 72);
    expect(await call("produce", { body: { topic, key: "k", value: value.slice(1), partition: 0 } })).toMatchObject({
      status: 200,
    });
    expect(await call("produce", { body: { topic, key: "k", value, partition: 0 } })).toMatchObject({
      status: 413,
      reply: { error: saying("Record 0 takes 1048589 bytes") },
    });
  });

  it("keeps batches within what a topic allows, and knows which topics need keys", async () => {
    const [small, compacted] = [name("small."), name("compacted.")];
    const admin = new Admin({ clientId: "test", bootstrapBrokers: engine().brokers });
    const topicWith = async (topic: string, key: string, value: string) =>
      admin.createTopics({ topics: [topic], partitions: 4, replicas: 1, configs: [{ name: key, value }] });
    await topicWith(small, "max.message.bytes", "2000");
    await topicWith(compacted, "cleanup.policy", "compact");
    await admin.close();
    const records = Array.from({ length: 20 }, (_, index) => ({
      topic: small,
      value: `${index}`.padEnd(600),
      partition: 0,
    }));
    const { status, reply } = await call("produce", { body: records });
    expect(status).toBe(200);
    expect(PlacesSchema.parse(reply).map(({ offset }) => offset)).toEqual(records.map((_, index) => index));
    const mixed = [
      { topic: compacted, key: "k", value: "v", partition: 0 },
      { topic: compacted, value: "v", partition: 0 },
    ];
    expect(await call("produce", { body: mixed })).toMatchObject({
      status: 400,
      reply: { error: saying("Record 1 has no key") },
    });
    expect((await call("offsets/latest", { body: { topic: compacted, partition: 0 } })).reply).toMatchObject([
      { offset: 0 },
    ]);
  });

  it("speaks the GET forms", async () => {
    const topic = name("get.");
    const get = async (path: string) => (await call(path, { method: "GET" })).reply;
    expect(await get(`produce/${topic}/hello%20there?key=k`)).toEqual({ topic, ...anyPlace });
    const { reply } = await call(`consume/${name("g")}/i/${topic}?timeout=3000`, {
      method: "GET",
      headers: { "Kafka-Auto-Offset-Reset": "earliest" },
    });
    expect(reply).toMatchObject([{ topic, value: "hello there", key: "k" }]);
    const [record] = RecordsSchema.parse(reply);
    expect(await get(`fetch/${topic}/${record?.partition}/0?timeout=500`)).toMatchObject([{ value: "hello there" }]);
    expect(await get(`offsets/latest/${topic}/${record?.partition}`)).toEqual([
      { topic, partition: record?.partition, offset: 1 },
    ]);
    expect(await get("topics")).toMatchObject({ [topic]: 4 });
  });

  it("takes webhooks, with the credentials in the address", async () => {
    const topic = name("hook.");
    const query = new URLSearchParams({ topic, user: all.username, pass: all.password });
    const response = await fetch(`${url()}/kafka/webhook?${query.toString()}`, {
      method: "POST",
      body: '{"event": "push"}',
      headers: { "x-event": "push", "user-agent": "hooks", cookie: "secret" },
    });
    expect(await response.json()).toEqual({ topic, ...anyPlace });
    const partitions = Array.from({ length: 4 }, (_, partition) => ({ topic, partition, offset: 0 }));
    const [record] = await client().consumer().fetch({ topicPartitionOffsets: partitions, timeout: 300 });
    expect(record?.value).toBe('{"event": "push"}');
    expect(record?.headers).toContainEqual({ key: "x-event", value: "push" });
    expect(JSON.stringify(record?.headers)).not.toMatch(/secret|authorization/);
    expect(
      (await fetch(`${url()}/kafka/webhook?topic=${topic}&user=all&pass=wrong`, { method: "POST", body: "x" })).status,
    ).toBe(401);
  });

  it("reads offsets by end and by time", async () => {
    const topic = name("o.");
    const at = { topic, partition: 0 };
    await client()
      .producer()
      .produceMany([1000, 2000, 3000].map((timestamp) => ({ ...at, value: "v", timestamp })));
    const offset = async (timestamp: number | "earliest" | "latest") =>
      (await client().admin().topicPartitionOffsets({ timestamp, topicPartition: at }))[0]?.offset;
    expect([await offset("earliest"), await offset("latest"), await offset(1500), await offset(9000)]).toEqual([
      0, 3, 1, -1,
    ]);
  });
});
