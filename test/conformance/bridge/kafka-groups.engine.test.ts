/** The Kafka door over a real Kafka: consumer instances, their partitions and their commits. */
import { randomUUID } from "node:crypto";
import { Admin } from "@platformatic/kafka";
import { describe, expect, it, vi } from "vitest";
import { GroupMember } from "../../../gpu-pool/bridge/kafka/member.ts";
import { ROOM_HEADER } from "../../../src/contract/claim.ts";
import { startStopwatch } from "../../stalls.ts";
import { basic, hasJava, PROCESSES, until } from "./engines.ts";
import { all, RecordsSchema, useKafkaDoor } from "./fixture.ts";

/** Resolves once a consume that was called after this waits for records. */
async function nextWait(): Promise<void> {
  const take = vi.spyOn(GroupMember.prototype, "take");
  await until(() => take.mock.calls.length > 0).finally(() => take.mockRestore());
}

describe.runIf(hasJava)("Kafka door: groups", () => {
  const { name, url, client, call, refusal, engine } = useKafkaDoor();

  it("hands out each record once, keeps its place across requests, and obeys the room", async () => {
    const topic = name("r.");
    const group = name("g");
    await client()
      .producer()
      .produceMany(Array.from({ length: 50 }, (_, index) => ({ topic, value: `v${index}` })));
    const seen: string[] = [];
    for (let round = 0; seen.length < 50 && round < 30; round++) {
      const headers = {
        [ROOM_HEADER]: "7",
        "Kafka-Enable-Auto-Commit": "false",
        "Kafka-Auto-Offset-Reset": "earliest",
      };
      const { reply } = await call(`consume/${group}/one`, { body: { topic, timeout: 3000 }, headers });
      const records = RecordsSchema.parse(reply);
      expect(records.length).toBeLessThanOrEqual(7);
      seen.push(...records.map(({ value }) => value));
    }
    expect(seen.toSorted()).toEqual(Array.from({ length: 50 }, (_, index) => `v${index}`).toSorted());
  });

  it("wakes a waiting consume at once when a record comes", async () => {
    const topic = name("w.");
    const consume = {
      consumerGroupId: name("g"),
      instanceId: "i",
      topics: [topic],
      autoOffsetReset: "earliest" as const,
    };
    await client().producer().produce(topic, "first");
    await client()
      .consumer()
      .consume({ ...consume, timeout: 5000 });
    const held = nextWait();
    const waiting = client()
      .consumer()
      .consume({ ...consume, timeout: 10_000 });
    await held;
    using watch = startStopwatch(PROCESSES);
    await client().producer().produce(topic, "second");
    expect(await waiting).toMatchObject([{ value: "second" }]);
    expect(watch.ms()).toBeLessThan(2000);
  });

  it("ends a consume that waits when the instance consumes again", async () => {
    const topic = name("again.");
    const ids = { consumerGroupId: name("g"), instanceId: "i", topics: [topic], autoOffsetReset: "earliest" as const };
    await client().producer().produce(topic, "first");
    await client()
      .consumer()
      .consume({ ...ids, timeout: 5000 });
    using watch = startStopwatch(PROCESSES);
    const held = nextWait();
    const early = client()
      .consumer()
      .consume({ ...ids, timeout: 20_000 });
    await held;
    const late = client()
      .consumer()
      .consume({ ...ids, timeout: 20_000 });
    expect(await early).toEqual([]);
    await client().producer().produce(topic, "second");
    expect(await late).toMatchObject([{ value: "second" }]);
    expect(watch.ms()).toBeLessThan(5000);
  });

  it("stores commits as they are sent; an empty one means all that was handed out", async () => {
    const topic = name("m.");
    const ids = { consumerGroupId: name("g"), instanceId: "i" };
    const at = { topic, partition: 0 };
    await client()
      .producer()
      .produceMany(Array.from({ length: 5 }, (_, index) => ({ ...at, value: `v${index}` })));
    const consumer = client().consumer();
    const committed = async () => (await consumer.committed({ ...ids, topicPartitions: [at] }))[0]?.offset;
    await consumer.consume({ ...ids, topics: [topic], autoCommit: false, autoOffsetReset: "earliest", timeout: 5000 });
    expect(await committed()).toBe(-1);
    await consumer.commit({ ...ids, offset: { ...at, offset: 2 } });
    expect(await committed()).toBe(2);
    await consumer.commit(ids);
    expect(await committed()).toBe(5);
    await client().admin().removeConsumerInstance(ids.consumerGroupId, ids.instanceId);
    const late = await refusal(`commit/${ids.consumerGroupId}/i`, { body: { ...at, offset: 1 } });
    expect(late).toMatchObject({ status: 404, code: "unknown_member" });
  });

  it("commits by itself unless told not to", async () => {
    const topic = name("ac.");
    const ids = { consumerGroupId: name("g"), instanceId: "i" };
    await client().producer().produce(topic, "v", { partition: 0 });
    await client()
      .consumer()
      .consume({ ...ids, topics: [topic], autoOffsetReset: "earliest", autoCommitInterval: 200, timeout: 5000 });
    const committed = async () => {
      const topicPartitions = [{ topic, partition: 0 }];
      return (
        await client()
          .consumer()
          .committed({ ...ids, topicPartitions })
      )[0]?.offset;
    };
    await until(async () => (await committed()) !== -1);
    expect(await committed()).toBe(1);
  });

  it("shares partitions between instances by range, and gives them back when one is removed", async () => {
    const topics = ["high", "normal", "low"].map((priority) => `jobs.${randomUUID().slice(0, 8)}.${priority}`);
    const group = name("lane.");
    await client()
      .producer()
      .produceMany(topics.map((topic) => ({ topic, value: "v" })));
    const poll = async (instance: string, timeout: number) =>
      client().consumer().consume({
        consumerGroupId: group,
        instanceId: instance,
        topics,
        autoCommit: false,
        autoOffsetReset: "earliest",
        timeout,
      });
    const held = async () => {
      const groups = await client().admin().consumers();
      const instances = groups.find((entry) => entry.name === group)?.instances ?? [];
      return Object.fromEntries(
        instances.map((entry) => [entry.name, entry.topics.map(({ partitions }) => partitions)]),
      );
    };
    await poll("one", 3000);
    expect(await held()).toEqual({
      one: [
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
      ],
    });
    await until(async () => {
      await Promise.all([poll("one", 200), poll("two", 200)]);
      const now = await held();
      const sizes = Object.values(now).map((lists) => lists.flat().length);
      return sizes.length === 2 && sizes.every((size) => size === 6);
    });
    // Range: each instance has the same partitions in all three topics.
    for (const lists of Object.values(await held())) expect(new Set(lists.map((list) => list.join())).size).toBe(1);
    await client().admin().removeConsumerInstance(group, "two");
    await until(async () => {
      await poll("one", 200);
      return Object.values(await held()).flat(2).length === 12;
    });
  }, 60_000);

  it("keeps its place through rebalances: nothing twice, nothing lost, without a commit", async () => {
    const topic = name("rb.");
    const group = name("g");
    const poll = async (instance: string) =>
      client()
        .consumer()
        .consume({
          consumerGroupId: group,
          instanceId: instance,
          topics: [topic],
          autoCommit: true,
          autoCommitInterval: 100,
          autoOffsetReset: "earliest",
          timeout: 200,
        });
    await client().producer().produce(topic, "warm");
    const seen = new Map<string, number>();
    let rebalances = true;
    let made = 1;
    const produce = (async () => {
      for (; rebalances || made < 300; made++) await client().producer().produce(topic, `v${made}`);
    })();
    const holds = async (instance: string) => {
      const { instances } = (await client().admin().consumers()).find((entry) => entry.name === group) ?? {};
      return instances?.some((one) => one.name === instance && one.topics.length > 0) === true;
    };
    const work = async (instance: string, ends: () => boolean) => {
      while (!ends()) for (const { value } of await poll(instance)) seen.set(value, (seen.get(value) ?? 0) + 1);
    };
    const main = work("main", () => !rebalances && made >= 300 && seen.size >= made);
    for (let round = 0; round < 4; round++) {
      let stop = false;
      const guest = work(`guest${round}`, () => stop);
      await until(() => holds(`guest${round}`));
      stop = true;
      await guest;
      await client().admin().removeConsumerInstance(group, `guest${round}`);
    }
    rebalances = false;
    await Promise.all([produce, main]);
    expect(seen.size).toBe(made);
    // A partition that moves starts at the last commit, so a few may come twice; most must not.
    expect([...seen.values()].filter((count) => count > 1).length).toBeLessThan(made / 5);
  }, 90_000);

  it("lets an idle instance expire, so that its partitions go to others", async () => {
    const topic = name("x.");
    const group = name("g");
    await client().producer().produce(topic, "v");
    const consume = { consumerGroupId: group, topics: [topic], autoOffsetReset: "earliest" as const, timeout: 1500 };
    await client()
      .consumer()
      .consume({ ...consume, instanceId: "idle" });
    await until(async () => !(await client().admin().consumers()).some((entry) => entry.name === group));
    await client().producer().produce(topic, "next", { partition: 0 });
    await until(async () => {
      const taken = await client()
        .consumer()
        .consume({ ...consume, instanceId: "other", timeout: 4000 });
      return taken.some(({ value }) => value === "next");
    });
  });

  it("gives back what a client that went away did not get", async () => {
    const topic = name("l.");
    const group = name("g");
    await client().producer().produce(topic, "warm");
    const path = `${url()}/kafka/consume/${group}/i`;
    const init = {
      method: "POST",
      headers: {
        authorization: basic(all.username, all.password),
        "Kafka-Auto-Offset-Reset": "earliest",
        "Kafka-Enable-Auto-Commit": "false",
      },
      body: JSON.stringify({ topic, timeout: 5000 }),
    };
    await (await fetch(path, init)).json();
    const aborter = new AbortController();
    const held = nextWait();
    const gone = fetch(path, { ...init, signal: aborter.signal }).catch(() => null);
    await held;
    aborter.abort();
    await gone;
    await client().producer().produce(topic, "kept");
    expect(await (await fetch(path, init)).json()).toMatchObject([{ value: "kept" }]);
  });

  it("takes nothing back of what others committed since a member was let go", async () => {
    const topic = name("late.");
    const group = name("g");
    const value = Array.from({ length: 10 }, (_, index) => ({ topic, value: `v${index}`, partition: 0 }));
    await client().producer().produceMany(value);
    const brokers = { bootstrapBrokers: engine().brokers, clientId: "late", retries: 5, retryDelay: 100 };
    const member = (heartbeatIntervalMs: number) =>
      new GroupMember({
        client: brokers,
        ...{ groupId: group, topics: [topic], offsetReset: "earliest", maxFetchBytes: 1_048_576 },
        ...{ sessionTimeoutMs: 60_000, heartbeatIntervalMs },
      });
    const take = async (from: GroupMember, room: number): Promise<void> => {
      let count = 0;
      await until(async () => (count += (await from.take({ room, maxBytes: 1e6, waitMs: 500 })).length) >= room);
    };
    const admin = new Admin(brokers);
    // The first doesn't notice by itself, as one whose machine slept.
    const [late, other] = [member(30_000), member(200)];
    try {
      await take(late, 5);
      await admin.removeMembersFromConsumerGroup({ groupId: group });
      await take(other, 10);
      await other.commit();
      await late.commit();
      const at = { consumerGroupId: group, instanceId: "i", topicPartitions: [{ topic, partition: 0 }] };
      expect(await client().consumer().committed(at)).toMatchObject([{ offset: 10 }]);
    } finally {
      await Promise.all([late.close(), other.close(), admin.close()]);
    }
  });

  it("holds no more instances than it may", async () => {
    const topic = name("i.");
    await client().producer().produce(topic, "v");
    const group = name("g");
    const statuses = await Promise.all(
      Array.from(
        { length: 14 },
        async (_, index) => (await call(`consume/${group}/i${index}`, { body: { topic, timeout: 0 } })).status,
      ),
    );
    expect(statuses).toContain(429);
    for (const index of statuses.keys())
      if (statuses[index] === 200) await call(`delete-consumer/${group}/i${index}`, {});
  });
});
