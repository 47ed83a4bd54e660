import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { testEnv as env } from "../../test/worker/edge-harness.ts";
import { describe, expect, it } from "vitest";
import { createEmbeddedProducer } from "./producer.ts";
import { brokerName } from "./names.ts";

const DAY_MS = 86_400_000;

describe("LogBroker", () => {
  it("sleeps until its oldest records fall due", async () => {
    const broker = env.LOG.getByName("sleeper");
    const records = [{ key: null, value: "x", headers: [], timestamp: null }];
    await broker.produce([{ topic: "t", partition: 0, partitionCount: 1, owner: null, records }], null);
    expect(await runDurableObjectAlarm(broker)).toBe(true);
    const dueAt = await runInDurableObject(broker, async (_, state) => state.storage.getAlarm());
    expect((dueAt ?? 0) - Date.now()).toBeGreaterThan(6 * DAY_MS);
    expect(await broker.offsets([{ topic: "t", partition: 0 }], "earliest")).toEqual([0]);
  });

  it("answers a fetch from many partitions with what one answer may carry", async () => {
    const broker = env.LOG.getByName("fetched");
    const from = ["a", "b", "c", "d"].map((topic) => ({ topic, partition: 0, offset: 0 }));
    const records = [{ key: null, value: "x".repeat(700_000), headers: [], timestamp: null }];
    for (const { topic } of from) {
      await broker.produce([{ topic, partition: 0, partitionCount: 1, owner: null, records }], null);
    }
    const answer = await broker.fetchRecords({ from, timeoutMs: 0, waitId: "w" });
    expect(answer.ok && answer.value.map(({ topic }) => topic)).toEqual(["a", "b"]);
  });

  it.each([
    ["keys", { key: "x".repeat(700_000), value: "", headers: [], timestamp: null }],
    ["headers", { key: null, value: "", headers: [{ key: "h", value: "x".repeat(700_000) }], timestamp: null }],
  ])("counts %s to what one answer may carry", async (what, record) => {
    const broker = env.LOG.getByName(`heavy-${what}`);
    const records = [record, record, record];
    for (const partition of [0, 1]) {
      await broker.produce([{ topic: "t", partition, partitionCount: 2, owner: null, records }], null);
    }
    const from = [0, 1].map((partition) => ({ topic: "t", partition, offset: 0 }));
    const fetched = await broker.fetchRecords({ from, timeoutMs: 0, waitId: "w" });
    expect(fetched.ok && fetched.value.map(({ partition }) => partition)).toEqual([0, 1]);
    const consumed = await broker.consume({
      ...{ group: "g", instance: "i", principal: "user:a", broker: { index: 0, count: 1 }, room: 500, timeoutMs: 0 },
      ...{ topics: [{ topic: "t", partitions: 2 }], mode: "take", waitId: "v" },
      options: { autoCommit: false, autoCommitIntervalMs: 5000, reset: "earliest", sessionTimeoutMs: 60_000 },
    });
    expect(consumed.ok && consumed.value.messages).toHaveLength(1);
  });

  it("commits by itself where a group begins at the end, though nothing came yet", async () => {
    const broker = env.LOG.getByName("begins-at-end");
    const place = { topic: "t", partition: 0 };
    const records = [{ key: null, value: "x", headers: [], timestamp: null }];
    const append = { ...place, partitionCount: 1, owner: null, records };
    await broker.produce([append, append], null);
    const options = { autoCommitIntervalMs: 1, reset: "latest", sessionTimeoutMs: 60_000 } as const;
    const consume = (group: string, autoCommit: boolean) =>
      broker.consume({
        ...{ group, instance: "i", principal: "user:a", broker: { index: 0, count: 1 }, room: 500, timeoutMs: 0 },
        ...{ topics: [{ topic: "t", partitions: 1 }], mode: "take", waitId: group },
        options: { ...options, autoCommit },
      });
    for (const isAutomatic of [true, false]) expect((await consume(String(isAutomatic), isAutomatic)).ok).toBe(true);
    await expect.poll(() => broker.committed("true", [place])).toEqual([2]);
    expect(await broker.committed("false", [place])).toEqual([-1]);
  });

  it("forgets all groups that are long gone before it sleeps", async () => {
    const broker = env.LOG.getByName("many-groups");
    const records = [{ key: null, value: "x", headers: [], timestamp: null }];
    await broker.produce([{ topic: "t", partition: 0, partitionCount: 1, owner: null, records }], null);
    const left = await runInDurableObject(broker, async (instance, { storage }) => {
      for (let group = 0; group < 250; group += 1) {
        const [name, at] = [`group-${String(group).padStart(3, "0")}`, group < 150 ? Date.now() : 1];
        storage.sql.exec("insert into commits values (?, 't', 0, 1, ?, 'user:a')", name, at);
      }
      const count = () => storage.sql.exec<{ n: number }>("select count(*) as n from commits").one().n;
      for (let sweeps = 0; sweeps < 3; sweeps += 1) {
        await instance.alarm();
        if (((await storage.getAlarm()) ?? 0) > Date.now() + DAY_MS) break;
      }
      return count();
    });
    expect(left).toBe(150);
  });

  it("forgets an instance that can't begin and goes, so that others may commit for it", async () => {
    const broker = env.LOG.getByName("no-beginning");
    const refused = await broker.consume({
      ...{ group: "g", instance: "i", principal: "user:a", broker: { index: 0, count: 1 }, room: 500, timeoutMs: 0 },
      ...{ topics: [{ topic: "t", partitions: 1 }], mode: "take", waitId: "w" },
      options: { autoCommit: true, autoCommitIntervalMs: 5000, reset: "none", sessionTimeoutMs: 50 },
    });
    expect(refused).toMatchObject({ ok: false, code: "offset_out_of_range" });
    const commit = () =>
      broker.commit({ group: "g", instance: "j", principal: "user:a" }, [{ topic: "t", partition: 0, offset: 0 }]);
    await expect.poll(commit).toEqual({ ok: true, value: true });
  });

  it("refuses faults unless the deployment is a local one", async () => {
    const reply = await env.LOG.getByName(brokerName(0)).setFaults({ dropProbability: 1 });
    expect(reply).toMatchObject({ ok: false, code: "forbidden" });
  });
});

describe("createEmbeddedProducer", () => {
  it("appends records of many topics and answers in their order", async () => {
    const producer = createEmbeddedProducer(env);
    const records = ["a", "b", "a", "b", "c"].map((topic, index) => ({ topic: `port.${topic}`, value: String(index) }));
    const produced = await producer.produce(records);
    expect(produced.map((entry) => entry.topic)).toEqual(records.map((record) => record.topic));
    expect(produced.map((entry) => entry.offset)).toEqual([0, 0, 1, 1, 0]);
    expect(await producer.produce([])).toEqual([]);
  });

  it("appends more than one call to a broker may carry", async () => {
    const producer = createEmbeddedProducer(env);
    const output = "x".repeat(262_144);
    const records = Array.from({ length: 140 }, (_, index) => ({
      topic: "port.large",
      key: "k",
      value: `${index}${output}`,
    }));
    const produced = await producer.produce(records);
    expect(produced.map(({ offset }) => offset)).toEqual(records.map((_, index) => index));
  });

  it("says for good that a record is too large, or its topic's name wrong", async () => {
    const producer = createEmbeddedProducer(env);
    const large = [{ topic: "port.a", value: "x".repeat(1_100_000) }];
    await expect(producer.produce(large)).rejects.toMatchObject({ code: "payload_too_large" });
    await expect(producer.produce([{ topic: "a b", value: "x" }])).rejects.toMatchObject({ code: "invalid_request" });
  });
});
