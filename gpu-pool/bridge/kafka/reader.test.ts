/** Fetching from several leaders, by several users; the library's consumer is the test's. */
import { beforeEach, expect, test, vi } from "vitest";
import type { Cluster } from "./cluster.ts";
import { Reader } from "./reader.ts";

type Fetch = { node: number; maxWaitTime: number; topics: { topicId: string; partitions: { partition: number }[] }[] };
const kafka = vi.hoisted(() => ({
  fetches: [] as Fetch[],
  /** Leaders that have a record, and how many of it. */
  full: new Set<number>(),
  records: 1,
}));
vi.mock("@platformatic/kafka", () => ({
  Admin: vi.fn(),
  findErrorBy: () => null,
  Consumer: class {
    topics = { trackAll() {}, untrackAll() {} };
    on() {}
    async close() {}
    async fetch(fetch: Fetch) {
      kafka.fetches.push(fetch);
      if (!kafka.full.has(fetch.node)) await new Promise((resolve) => setTimeout(resolve, fetch.maxWaitTime));
      const records = kafka.full.has(fetch.node) ? Array.from({ length: kafka.records }, () => batch) : [];
      const state = { errorCode: 0, logStartOffset: 0n, highWatermark: 1n };
      return {
        errorCode: 0,
        responses: fetch.topics.map(({ topicId, partitions }) => ({
          topicId,
          // In a session a broker keeps to an order of its own.
          partitions: partitions
            .toSorted((a, b) => a.partition - b.partition)
            .map(({ partition }) => ({ partitionIndex: partition, records, ...state })),
        })),
      };
    }
  },
}));

const batch = {
  ...{ firstOffset: 0n, lastOffsetDelta: 0, attributes: 0, firstTimestamp: 0n },
  records: [{ offsetDelta: 0, timestampDelta: 0n, key: null, value: Buffer.from("v"), headers: [] }],
};
/** A cluster with a topic of three partitions, and who leads each. */
const clusterOf = (...leaders: number[]) => {
  const topic = async (name: string) => ({ name, id: "1", leaders });
  const settings = { brokers: [], clientId: "test", tls: false };
  return { settings, topic, checkPartitions: async () => {} } as unknown as Cluster;
};
const cluster = clusterOf(1, 2, 3);
const from = [0, 1, 2].map((partition) => ({ topic: "t", partition, offset: 0 }));
const limits = { waitMs: 60_000, maxRecords: 500, maxBytes: 1_048_576 };

beforeEach(() => {
  vi.useFakeTimers();
  kafka.fetches = [];
  kafka.full = new Set();
  kafka.records = 1;
  return () => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  };
});

test("a record of one leader is answered, though the others have none", async () => {
  const reader = new Reader(cluster);
  kafka.full = new Set([2]);
  const fetched = reader.fetch(from, limits);
  await vi.advanceTimersByTimeAsync(2000);
  const answer = await Promise.race([fetched, Promise.resolve("it waits on")]);
  expect(answer).toMatchObject([{ partition: 1, offset: 0 }]);
});

test("a client that leaves is waited for no longer", async () => {
  const reader = new Reader(cluster);
  const client = new AbortController();
  const fetched = reader.fetch(from.slice(0, 1), { ...limits, signal: client.signal });
  client.abort();
  await vi.advanceTimersByTimeAsync(2000);
  expect(await Promise.race([fetched, Promise.resolve("it waits on")])).toEqual([]);
});

test("it waits as long as it was asked to, and no request longer than the client waits for its answer", async () => {
  const reader = new Reader(cluster);
  let found: unknown = "it waits";
  void reader.fetch(from.slice(0, 1), limits).then((records) => (found = records));
  await vi.advanceTimersByTimeAsync(59_000);
  expect(found).toBe("it waits");
  await vi.advanceTimersByTimeAsync(2000);
  expect(found).toEqual([]);
  // `requestTimeout` of every client is 15 s.
  expect(Math.max(...kafka.fetches.map(({ maxWaitTime }) => maxWaitTime))).toBeLessThan(15_000);
});

test.each([
  ["each of them leads one", [1, 2, 3]],
  ["one leads all", [1, 1, 1]],
])("a partition that always fills a reply leaves other replies to the others: %s", async (_, leaders) => {
  const reader = new Reader(clusterOf(...leaders));
  kafka.full = new Set([1, 2, 3]);
  kafka.records = 10;
  const firsts = new Set<number | undefined>();
  for (const random of [0, 0.4, 0.8]) {
    vi.spyOn(Math, "random").mockReturnValue(random);
    const records = await reader.fetch(from, { ...limits, maxRecords: 10 });
    expect(new Set(records.map(({ partition }) => partition)).size).toBe(1);
    firsts.add(records[0]?.partition);
  }
  expect(firsts).toEqual(new Set([0, 1, 2]));
  const some = await reader.fetch(from, { ...limits, maxRecords: 15 });
  const order = some.map(({ partition }) => partition);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});

test("a user who fetches all the time leaves readers to another", async () => {
  const reader = new Reader(cluster, false);
  const one = from.slice(0, 1);
  const flood = Array.from({ length: 40 }, async () => reader.fetch(one, { ...limits, waitMs: 1000, user: "greedy" }));
  const settled = Promise.allSettled(flood);
  await vi.advanceTimersByTimeAsync(0);
  const other = reader.fetch(one, { ...limits, waitMs: 1000, user: "small" });
  await vi.advanceTimersByTimeAsync(2000);
  expect(await other).toEqual([]);
  const states = (await settled).map(({ status }) => status);
  expect(new Set(states)).toEqual(new Set(["fulfilled", "rejected"]));
  // They are given back.
  const again = reader.fetch(one, { ...limits, waitMs: 0, user: "greedy" });
  await vi.advanceTimersByTimeAsync(2000);
  expect(await again).toEqual([]);
});
