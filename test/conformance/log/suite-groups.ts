/** Conformance of consumer groups: consume, share, commit. */
import { describe, expect, it } from "vitest";
import { startStopwatch } from "../../stalls.ts";
import { JOIN_MS, PROCESSES } from "./context.ts";
import type { LogContext } from "./context.ts";

export function groupTests(context: LogContext): void {
  const { kafka, fresh, member, topicWith, call, consumeUntil, join } = context;

  describe("consume", () => {
    it("hands out every record once to a group, from the earliest on", async () => {
      const topic = await topicWith("first");
      const values = Array.from({ length: 50 }, (_, index) => `value ${index}`);
      await kafka()
        .producer()
        .produceMany(values.map((value) => ({ topic, value })));
      const who = member();
      const request = { ...who, topics: [topic], autoOffsetReset: "earliest" as const };
      const messages = await consumeUntil(request, (found) => found.length >= 51);
      expect(messages.map((message) => message.value).toSorted()).toEqual(["first", ...values].toSorted());
      expect(
        await kafka()
          .consumer()
          .consume({ ...request, timeout: 300 }),
      ).toEqual([]);
    });

    it("by default begins at the latest", async () => {
      const topic = await topicWith("old");
      const who = member();
      await join(who, topic);
      await kafka().producer().produce(topic, "new", { partition: 0 });
      const messages = await consumeUntil({ ...who, topics: [topic] }, (found) => found.length > 0);
      expect(messages.map((message) => message.value)).toEqual(["new"]);
    });

    it("wakes when a record arrives", async () => {
      const topic = await topicWith("old");
      const who = member();
      await join(who, topic);
      const waiting = kafka()
        .consumer()
        .consume({ ...who, topics: [topic], timeout: 10_000 });
      await new Promise((resolve) => setTimeout(resolve, 300));
      using watch = startStopwatch(PROCESSES);
      await kafka().producer().produce(topic, "new", { partition: 0 });
      expect((await waiting).map((message) => message.value)).toEqual(["new"]);
      expect(watch.ms()).toBeLessThan(3000);
    });

    it("takes the form without a body", async () => {
      const topic = await topicWith("first");
      const { consumerGroupId, instanceId } = member();
      const deadline = Date.now() + JOIN_MS;
      let found: unknown = [];
      while (Array.isArray(found) && found.length === 0 && Date.now() < deadline) {
        const path = `/consume/${consumerGroupId}/${instanceId}/${topic}?timeout=500`;
        found = (await call("GET", path, undefined, { "Kafka-Auto-Offset-Reset": "earliest" })).json;
      }
      expect(found).toMatchObject([{ topic, value: "first", key: "", headers: [] }]);
    });

    it("shares a topic's partitions among instances, and hands a leaver's on", async () => {
      const topic = await topicWith("first");
      const { [topic]: partitions = 0 } = await kafka().admin().topics();
      const group = fresh("group");
      const [one, two] = [member(group), member(group)];
      const assigned = async (): Promise<Map<string, number[]>> => {
        const found = (await kafka().admin().consumers()).find((entry) => entry.name === group);
        const lists = found?.instances.map(
          (instance) => [instance.name, instance.topics.flatMap((entry) => entry.partitions)] as const,
        );
        return new Map(lists);
      };
      const settled = async (accept: (owners: Map<string, number[]>) => boolean, ...who: (typeof one)[]) => {
        const deadline = Date.now() + JOIN_MS;
        let owners = new Map<string, number[]>();
        while (Date.now() < deadline) {
          await Promise.all(
            who.map(async (entry) =>
              kafka()
                .consumer()
                .consume({ ...entry, topics: [topic], timeout: 200 }),
            ),
          );
          owners = await assigned();
          if (accept(owners)) break;
        }
        return owners;
      };
      const everything = Array.from({ length: partitions }, (_, index) => index);
      const both = await settled(
        (owners) => {
          const all = [...owners.values()].flat();
          return owners.size === 2 && all.length === partitions && new Set(all).size === partitions;
        },
        one,
        two,
      );
      expect([...both.values()].flat().toSorted((a, b) => a - b)).toEqual(everything);
      const smallest = Math.min(...[...both.values()].map((list) => list.length));
      expect(smallest).toBeGreaterThanOrEqual(Math.min(1, partitions - 1));

      await kafka().admin().removeConsumerInstance(group, two.instanceId);
      const left = await settled((owners) => owners.get(one.instanceId)?.length === partitions, one);
      expect(left.get(one.instanceId)?.toSorted((a, b) => a - b)).toEqual(everything);
    });
  });

  describe("commit", () => {
    it("stores an offset as it was sent, and the group goes on there", async () => {
      const topic = await topicWith("0");
      await kafka()
        .producer()
        .produceMany(["1", "2", "3"].map((value) => ({ topic, value, partition: 0 })));
      const group = fresh("group");
      const first = member(group);
      const request = { ...first, topics: [topic], autoOffsetReset: "earliest" as const, autoCommit: false };
      const all = await consumeUntil(request, (found) => found.length >= 4);
      expect(all).toHaveLength(4);
      const ask = { ...first, topicPartitions: [{ topic, partition: 0 }] };
      await kafka()
        .consumer()
        .commit({ ...first, offset: { topic, partition: 0, offset: 2 } });
      expect(await kafka().consumer().committed(ask)).toEqual([{ topic, partition: 0, offset: 2 }]);

      await kafka().admin().removeConsumerInstance(group, first.instanceId);
      const second = member(group);
      const again = await consumeUntil({ ...request, ...second }, (found) => found.length >= 2);
      expect(again.map((message) => message.value)).toEqual(["2", "3"]);
    });

    it("without a body commits all that was consumed", async () => {
      const topic = await topicWith("0");
      await kafka().producer().produce(topic, "1", { partition: 0 });
      const who = member();
      const request = { ...who, topics: [topic], autoOffsetReset: "earliest" as const, autoCommit: false };
      await consumeUntil(request, (found) => found.length >= 2);
      await kafka().consumer().commit(who);
      const committed = await kafka()
        .consumer()
        .committed({ ...who, topicPartitions: [{ topic, partition: 0 }] });
      expect(committed).toEqual([{ topic, partition: 0, offset: 2 }]);
    });

    it("commits on its own when it wasn't told otherwise", async () => {
      const topic = await topicWith("0");
      const who = member();
      const request = { ...who, topics: [topic], autoOffsetReset: "earliest" as const, autoCommitInterval: 200 };
      await consumeUntil(request, (found) => found.length > 0);
      const deadline = Date.now() + JOIN_MS;
      let committed = -1;
      while (committed < 1 && Date.now() < deadline) {
        await kafka()
          .consumer()
          .consume({ ...request, timeout: 300 });
        const [entry] = await kafka()
          .admin()
          .committedOffsets({ ...who, topicPartition: { topic, partition: 0 } });
        committed = entry?.offset ?? -1;
      }
      expect(committed).toBe(1);
    });

    it("without automatic commits leaves everything to the next instance", async () => {
      const topic = await topicWith("0");
      const group = fresh("group");
      const first = member(group);
      const request = { ...first, topics: [topic], autoOffsetReset: "earliest" as const, autoCommit: false };
      expect(await consumeUntil(request, (found) => found.length > 0)).toHaveLength(1);
      const [before] = await kafka()
        .admin()
        .committedOffsets({ ...first, topicPartition: { topic, partition: 0 } });
      expect(before?.offset).toBe(-1);
      await kafka().admin().removeConsumerInstance(group, first.instanceId);
      const again = await consumeUntil({ ...request, ...member(group) }, (found) => found.length > 0);
      expect(again.map((message) => message.value)).toEqual(["0"]);
    });

    it("answers Success", async () => {
      const topic = await topicWith("0");
      const who = member();
      await join(who, topic);
      const path = `${who.consumerGroupId}/${who.instanceId}`;
      const committed = await call("POST", `/commit/${path}`, `[{"topic": "${topic}", "partition": 0, "offset": 1}]`);
      expect(committed).toMatchObject({ status: 200, json: { result: "Success", status: 200 } });
      expect(await call("POST", `/commit/${path}`)).toMatchObject({ json: { result: "Success" } });
      expect(await call("DELETE", `/delete-consumer/${path}`)).toMatchObject({ json: { result: "Success" } });
    });
  });
}
