/** Where a member begins, and what of its commits counts; the library's consumer is the test's. */
import { beforeEach, expect, test, vi } from "vitest";
import { GroupMember } from "./member.ts";
import type { OffsetReset } from "./member.ts";
import type { GroupProtocol } from "./membership.ts";

type Commit = { offsets: { partition: number; offset: bigint }[] };
type Fetch = { topics: { partitions: { partition: number; fetchOffset: bigint }[] }[] };
const kafka = vi.hoisted(() => ({
  committed: new Map<number, bigint>(),
  ends: [7n, 9n],
  /** From where each partition was read last. */
  read: new Map<number, bigint>(),
  /** What happens to a commit before the cluster stores it. */
  before: async (_consumer: FakeConsumer): Promise<void> => {},
  consumers: [] as FakeConsumer[],
}));
type FakeConsumer = {
  memberId: string;
  assignments: { topic: string; partitions: number[] }[];
  emit(event: string, detail?: object): boolean;
};
vi.mock("@platformatic/kafka", async () => {
  const { EventEmitter: Emitter } = await vi.importActual<typeof import("node:events")>("node:events");
  return {
    findErrorBy: (error: object, key: string, value: unknown) => (Reflect.get(error, key) === value ? error : null),
    ListOffsetTimestamps: { EARLIEST: -2n, LATEST: -1n },
    Consumer: class extends Emitter {
      topics = { has: () => true, track() {}, untrack() {}, clear() {}, trackAll() {} };
      memberId = "m";
      groupId = "";
      assignments = [{ topic: "t", partitions: [0, 1] }];
      constructor() {
        super();
        kafka.consumers.push(this);
      }
      async joinGroup() {
        this.emit("consumer:group:join");
      }
      async consume() {
        this.assignments = [...this.assignments];
        this.emit("consumer:heartbeat:end");
        return { close: async () => {} };
      }
      async fetch({ topics }: Fetch) {
        for (const { partition, fetchOffset } of topics.flatMap(({ partitions }) => partitions))
          kafka.read.set(partition, fetchOffset);
        await new Promise((resolve) => setImmediate(resolve));
        return { errorCode: 0, responses: [] };
      }
      async listCommittedOffsets() {
        return new Map([["t", [0, 1].map((partition) => kafka.committed.get(partition) ?? -1n)]]);
      }
      async listOffsets({ timestamp }: { timestamp: bigint }) {
        return new Map([["t", timestamp === -1n ? kafka.ends : [0n, 0n]]]);
      }
      async metadata() {
        const topic = { id: "1", partitionsCount: 2, partitions: [{ leader: 1 }, { leader: 1 }] };
        return { topics: new Map([["t", topic]]), brokers: new Map([[1, {}]]) };
      }
      /** As the library: what it sends again after a refusal is what stands in `commit` by then. */
      async commit(commit: Commit) {
        await kafka.before(this);
        for (const { partition, offset } of commit.offsets) kafka.committed.set(partition, offset);
      }
      async close() {}
    },
  };
});

beforeEach(() => {
  kafka.committed = new Map();
  kafka.read = new Map();
  kafka.before = async () => {};
  kafka.consumers = [];
});

const nothing = { room: 10, maxBytes: 1000, waitMs: 20 };
const open = (offsetReset: OffsetReset, protocol: GroupProtocol = "classic") =>
  new GroupMember({
    ...{ client: { clientId: "c", bootstrapBrokers: [] }, groupId: "g", topics: ["t"], offsetReset, protocol },
    ...{ sessionTimeoutMs: 1000, heartbeatIntervalMs: 1000, maxFetchBytes: 1000 },
  });

test("where it begins is committed, too, though nothing came: its next life goes on from there", async () => {
  kafka.committed = new Map([[1, 4n]]);
  const member = open("latest");
  expect(await member.take(nothing)).toEqual([]);
  expect(member.hasUncommitted).toBe(true);
  await member.commit();
  expect(kafka.committed).toEqual(
    new Map([
      [0, 7n],
      [1, 4n],
    ]),
  );
  expect(member.hasUncommitted).toBe(false);
});

/** The group lets the member go; others read on and commit; it joins again under another id, and has the same. */
async function expelled(consumer: FakeConsumer): Promise<void> {
  kafka.committed.set(0, 200n);
  consumer.memberId = "another";
  consumer.emit("consumer:group:join");
}

test("a commit that met a rebalance takes nothing back of what others have committed since", async () => {
  const member = open("latest");
  await member.take(nothing);
  kafka.before = expelled;
  await member.commit();
  expect(kafka.committed.get(0)).toBe(200n);
  await expect.poll(() => member.assignments).toHaveLength(1);
});

test("whoever commits offsets of its own is told that a rebalance came before them", async () => {
  const member = open("latest");
  await member.take(nothing);
  kafka.before = expelled;
  const offset = { topic: "t", partition: 0, offset: 100 };
  await expect(member.commit([offset])).rejects.toMatchObject({ code: "unknown_member" });
  expect(kafka.committed.get(0)).toBe(200n);
});

test("a commit that is tried again is not overtaken by the one behind it", async () => {
  const member = open("latest");
  await member.take(nothing);
  const { promise, resolve } = Promise.withResolvers<void>();
  const isTriedAgain = vi.fn(async () => promise);
  kafka.before = async () => (isTriedAgain.mock.calls.length === 0 ? isTriedAgain() : undefined);
  const [first, second] = [100, 200].map((offset) => member.commit([{ topic: "t", partition: 0, offset }]));
  await new Promise((next) => setImmediate(next));
  resolve();
  await Promise.all([first, second]);
  expect(kafka.committed.get(0)).toBe(200n);
});

test.each(["UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH"])(
  "what others have read since the broker let it go (%s) is not read again",
  async (apiId) => {
    kafka.committed = new Map([
      [0, 5n],
      [1, 5n],
    ]);
    const member = open("earliest", "consumer");
    await member.take(nothing);
    await expect.poll(() => kafka.read.get(0)).toBe(5n);
    const [consumer] = kafka.consumers;
    kafka.committed.set(0, 9n);
    consumer?.emit("consumer:heartbeat:error", { error: Object.assign(new Error("gone"), { apiId }) });
    if (apiId === "FENCED_MEMBER_EPOCH") {
      consumer?.emit("consumer:heartbeat:end");
      if (consumer !== undefined) consumer.assignments = [...consumer.assignments];
      consumer?.emit("consumer:heartbeat:end");
    }
    await expect
      .poll(async () => {
        await member.take(nothing).catch(() => {});
        return kafka.read.get(0);
      })
      .toBe(9n);
  },
);
