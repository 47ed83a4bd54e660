/** Producing while the cluster takes nothing; the library's producer is the test's. */
import { beforeEach, expect, test, vi } from "vitest";
import { CoalescingProducer } from "./producer.ts";
import type { Cluster } from "./cluster.ts";

type Send = { messages: { value: Buffer }[] };
const kafka = vi.hoisted(() => ({
  sends: [] as Send[],
  rules: { maxMessageBytes: 1_048_588, needsKey: false, maxAheadMs: 3_600_000 },
  answer: (_send: unknown): Promise<unknown> => Promise.reject(new Error("unset")),
}));
vi.mock("@platformatic/kafka", () => ({
  Admin: vi.fn(),
  findErrorBy: () => null,
  compatibilityPartitioner: () => 0,
  Producer: class {
    on() {}
    async close() {}
    send(send: Send) {
      kafka.sends.push(send);
      return kafka.answer(send);
    }
  },
}));

const cluster = {
  settings: { brokers: [], clientId: "test", tls: false },
  topic: async (name: string) => ({ name, id: "1", leaders: [name === "dead" ? 2 : 1] }),
  rules: async () => kafka.rules,
} as unknown as Cluster;
const record = (value: string) => [{ topic: "t", value }];
const sentValues = () => kafka.sends.map(({ messages }) => messages.map(({ value }) => value.toString()));

beforeEach(() => {
  kafka.sends = [];
});

test("what the cluster doesn't take counts until it is out of memory, and is not sent once its caller was told that it failed", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  kafka.answer = () => promise;
  const producer = new CoalescingProducer(cluster, { maxPendingBytes: 100_000, produceTimeoutMs: 50 });
  const late = "did not take the records within";
  await expect(producer.produce(record("in flight".padEnd(60_000)))).rejects.toThrow(late);
  await expect(producer.produce(record("waits".padEnd(30_000)))).rejects.toThrow(late);
  await expect(producer.produce(record("x".repeat(50_000)))).rejects.toThrow("Too much waits to be produced already");
  kafka.answer = async () => ({ offsets: [{ topic: "t", partition: 0, offset: 7n }] });
  resolve({ offsets: [] });
  await expect.poll(() => producer.pendingBytes).toBe(0);
  expect(await producer.produce(record("later"))).toMatchObject([{ offset: 7 }]);
  expect(sentValues().map(([first = ""]) => first.trim())).toEqual(["in flight", "later"]);
});

test("a batch with a record that its topic wouldn't take is refused as a whole, before anything is sent", async () => {
  kafka.rules = { maxMessageBytes: 500, needsKey: true, maxAheadMs: 1000 };
  const producer = new CoalescingProducer(cluster, { maxPendingBytes: 100_000, produceTimeoutMs: 50 });
  const good = { topic: "t", key: "k", value: "v" };
  const refused = async (bad: object) => producer.produce([good, { ...good, ...bad }, good]);
  await expect(refused({ value: "x".repeat(500) })).rejects.toThrow(
    /^Record 1 takes 57\d bytes .* the topic "t" \(max\.message\.bytes\) takes 500\. No record was stored/,
  );
  await expect(refused({ key: null })).rejects.toThrow(/^Record 1 has no key: the topic "t" is compacted/);
  await expect(refused({ timestamp: Date.now() + 60_000 })).rejects.toThrow(/^Record 1: its timestamp is \d+ ms ahead/);
  expect(kafka.sends).toEqual([]);
  expect(producer.pendingBytes).toBe(0);
});

test("no send is larger than the smallest of its topics allows for a batch", async () => {
  kafka.rules = { maxMessageBytes: 500, needsKey: false, maxAheadMs: 1000 };
  let next = 0n;
  kafka.answer = async () => ({ offsets: [{ topic: "t", partition: 0, offset: next++ }] });
  const producer = new CoalescingProducer(cluster, { maxPendingBytes: 100_000, produceTimeoutMs: 1000 });
  const records = Array.from({ length: 10 }, (_, index) => ({ topic: "t", value: String(index).repeat(100) }));
  await Promise.all([producer.produce(records.slice(0, 5)), producer.produce(records.slice(5))]);
  expect(kafka.sends.length).toBeGreaterThan(3);
  for (const values of sentValues()) expect(values.join("").length).toBeLessThan(500);
  expect(sentValues().flat().toSorted()).toEqual(records.map(({ value }) => value).toSorted());
});

test("what waits for a leader that is away leaves room for the others", async () => {
  kafka.rules = { maxMessageBytes: 1_048_588, needsKey: false, maxAheadMs: 3_600_000 };
  const { promise, resolve } = Promise.withResolvers<unknown>();
  kafka.answer = async (send) => {
    const { topic = "" } = (send as { messages: { topic?: string }[] }).messages[0] ?? {};
    return topic === "dead" ? promise : { offsets: [{ topic, partition: 0, offset: 7n }] };
  };
  const producer = new CoalescingProducer(cluster, { maxPendingBytes: 100_000, produceTimeoutMs: 60_000 });
  expect(await producer.produce(record("first"))).toMatchObject([{ offset: 7 }]);
  const flood = Array.from({ length: 20 }, async () =>
    producer.produce([{ topic: "dead", value: "x".repeat(9000) }]).then(
      () => "stored",
      (error: Error) => error.message,
    ),
  );
  await expect.poll(() => kafka.sends.length).toBe(2);
  expect(await producer.produce(record("x".repeat(30_000)))).toMatchObject([{ offset: 7 }]);
  resolve({ offsets: [] });
  const answers = await Promise.all(flood);
  expect(answers).toContain("stored");
  expect(answers.filter((text) => text.startsWith("Too much waits"))).not.toEqual([]);
  expect(producer.pendingBytes).toBe(0);
});

test("what one user has waiting leaves room for another", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  kafka.answer = async () => ({ offsets: [{ topic: "t", partition: 0, offset: 7n }] });
  const producer = new CoalescingProducer(cluster, { maxPendingBytes: 100_000, produceTimeoutMs: 60_000 });
  await producer.produce(record("first"), "edge");
  kafka.answer = () => promise;
  const flood = Array.from({ length: 20 }, async () => producer.produce(record("x".repeat(9000)), "etl"));
  const settled = Promise.allSettled(flood);
  await expect.poll(() => kafka.sends.length).toBe(2);
  const others = producer.produce(record("y".repeat(30_000)), "edge").then(() => "stored", String);
  await new Promise((next) => setImmediate(next));
  resolve({ offsets: [] });
  expect(await others).toBe("stored");
  const states = (await settled).map(({ status }) => status);
  expect(new Set(states)).toEqual(new Set(["fulfilled", "rejected"]));
  expect(producer.pendingBytes).toBe(0);
});
