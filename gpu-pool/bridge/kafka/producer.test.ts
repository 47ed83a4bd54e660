/** Producing while the cluster takes nothing; the library's producer is the test's. */
import { beforeEach, expect, test, vi } from "vitest";
import { CoalescingProducer } from "./producer.ts";
import type { Cluster } from "./cluster.ts";

type Send = { messages: { value: Buffer }[] };
const kafka = vi.hoisted(() => ({
  sends: [] as Send[],
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
  topic: async (name: string) => ({ name, id: "1", leaders: [1] }),
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
