/** What one user of `/kafka` takes of a broker is bounded, and what another has is not less for it. */
import { expect, it } from "vitest";
import { testEnv as env } from "../../test/worker/edge-harness.ts";
import { CommitStore } from "./commits.ts";
import { Groups } from "./groups.ts";
import type { MemberOptions } from "./protocol.ts";
import { PartitionStore } from "./store.ts";
import { brokerName, brokerOf } from "./names.ts";
import { createLogClient } from "./client.ts";
import { runInDurableObject } from "cloudflare:test";

const options: MemberOptions = { autoCommit: true, autoCommitIntervalMs: 1, reset: "earliest", sessionTimeoutMs: 1000 };
const quotas = { groups: 2, instances: 3, offsets: 2, topics: 2, bytes: 5000 };
const only = { index: 0, count: 1 };
let serial = 0;

async function withStorage(test: (storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(env.LOG.getByName(`quotas-test-${++serial}`), (_, state) => test(state.storage));
}

function groupsOf(storage: DurableObjectStorage) {
  const groups = new Groups(new PartitionStore(storage), new CommitStore(storage.sql, quotas), quotas);
  const join = (principal: string, group: string, instance: string, topic = "t") =>
    groups.join({ principal, group, instance }, only, [{ topic, partitions: 1 }], options, 1);
  return { groups, join };
}

it("bounds a user's groups and instances, and makes room when one leaves", async () => {
  await withStorage((storage) => {
    const { groups, join } = groupsOf(storage);
    expect([join("user:a", "g", "1"), join("user:a", "h", "1")]).toMatchObject([{ ok: true }, { ok: true }]);
    expect(join("user:a", "i", "1")).toMatchObject({ ok: false, code: "quota_exceeded" });
    expect(join("user:a", "g", "2")).toMatchObject({ ok: true });
    expect(join("user:a", "g", "3")).toMatchObject({ ok: false, code: "quota_exceeded" });
    expect(join("user:b", "i", "1")).toMatchObject({ ok: true });
    expect(groups.has("i")).toBe(true);
    groups.expire(5000);
    expect(groups.assignments()).toEqual([]);
    expect(join("user:a", "i", "1")).toMatchObject({ ok: true });
  });
});

it("keeps what an automatic commit was refused, and stores it when there is room", async () => {
  await withStorage((storage) => {
    const { groups, join } = groupsOf(storage);
    for (const topic of ["x", "y", "z"]) {
      const joined = join("user:a", "g", topic, topic);
      if (!joined.ok) throw new Error(joined.message);
      const refusal = groups.commitDirty(joined.value, 1);
      expect(refusal?.code ?? null).toBe(topic === "z" ? "quota_exceeded" : null);
      expect([...joined.value.owned.values()].map(({ dirty }) => dirty)).toEqual([topic === "z"]);
    }
  });
});

it("bounds the topics that a user makes and what their records take, and never refuses what the edge publishes", async () => {
  await withStorage((storage) => {
    const { topics } = new PartitionStore(storage);
    for (const topic of ["a", "b"]) {
      expect(topics.refuse("user:a", quotas)).toBeNull();
      topics.add(topic, 1, "user:a");
    }
    const again = new PartitionStore(storage);
    expect(again.topics.refuse("user:a", quotas)).toMatchObject({ code: "quota_exceeded" });
    expect(again.topics.refuse("user:b", quotas)).toBeNull();
    expect(again.topics.refuse(null, quotas)).toBeNull();
    const records = [{ key: null, value: "x".repeat(3000), headers: [], timestamp: null }];
    const append = (topic: string, owner: string | null) => [
      { topic, partition: 0, partitionCount: 1, owner, records },
    ];
    for (let count = 0; count < 2; count += 1) {
      expect(again.topics.refuseBytes(append("a", "user:a"), quotas)).toBeNull();
      again.append(append("a", "user:a"), 1, 1, () => false);
    }
    for (const topic of ["a", "b"]) {
      expect(again.topics.refuseBytes(append(topic, "user:a"), quotas)).toMatchObject({ code: "quota_exceeded" });
    }
    expect(again.topics.refuseBytes(append("c", "user:b"), quotas)).toBeNull();
    again.trim("a", 0, 10, { ms: 1e12, bytes: 100 }, 500);
    expect(again.topics.refuseBytes(append("a", "user:a"), quotas)).toBeNull();
    expect(new PartitionStore(storage).topics.refuseBytes(append("a", "user:a"), quotas)).toBeNull();
  });
});

it("bounds the topics that a user makes at all brokers together", async () => {
  const LOG = { getByName: (name: string) => env.LOG.getByName(`spread-${name}`) } as unknown as typeof env.LOG;
  const client = createLogClient({ ...env, LOG, LOG_BROKERS: "3", LOG_PARTITIONS: "1" });
  const made = Array.from({ length: 999 }, (_, index) => `spread.${index}`);
  const byBroker = Map.groupBy(made, (topic) => brokerOf(topic, 0, 3));
  expect(byBroker.size).toBe(3);
  for (const [index, topics] of byBroker) {
    await runInDurableObject(LOG.getByName(brokerName(index)), (broker) => {
      for (const topic of topics) broker.ensureTopic(topic, 1, "user:spread");
    });
  }
  const produce = (topic: string, principal: string) =>
    client.produce([{ topic, key: "", value: "x", headers: [] }], () => true, principal);
  await expect(produce("spread.last", "user:spread")).resolves.toHaveLength(1);
  await expect(produce("spread.more", "user:spread")).rejects.toMatchObject({ code: "quota_exceeded" });
  await expect(produce("spread.0", "user:spread")).resolves.toHaveLength(1);
  await expect(produce("spread.more", "user:other")).resolves.toHaveLength(1);
});

it("makes a topic of the edge's own, though users have as many as a broker takes", async () => {
  await withStorage((storage) => {
    const { topics } = new PartitionStore(storage);
    const many = { topics: 1e6 };
    for (let index = 0; index < 5000; index += 1) topics.add(`t${index}`, 1, `user:${index % 5}`);
    expect(topics.refuse("user:b", many)).toMatchObject({ code: "invalid_request" });
    expect(topics.refuse(null, many)).toBeNull();
  });
});
