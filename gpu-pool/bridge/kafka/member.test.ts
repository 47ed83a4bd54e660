/** Where a member begins in a group that has committed nothing; the library's consumer is the test's. */
import { expect, test, vi } from "vitest";
import { GroupMember } from "./member.ts";
import type { OffsetReset } from "./member.ts";

const kafka = vi.hoisted(() => ({ committed: new Map<number, bigint>(), ends: [7n, 9n] }));
vi.mock("@platformatic/kafka", async () => {
  const { EventEmitter: Emitter } = await vi.importActual<typeof import("node:events")>("node:events");
  return {
    findErrorBy: () => null,
    ListOffsetTimestamps: { EARLIEST: -2n, LATEST: -1n },
    Consumer: class extends Emitter {
      topics = { has: () => true, track() {}, untrack() {} };
      memberId = "m";
      groupId = "";
      assignments = [{ topic: "t", partitions: [0, 1] }];
      async joinGroup() {
        this.emit("consumer:group:join");
      }
      async listCommittedOffsets() {
        return new Map([["t", [0, 1].map((partition) => kafka.committed.get(partition) ?? -1n)]]);
      }
      async listOffsets({ timestamp }: { timestamp: bigint }) {
        return new Map([["t", timestamp === -1n ? kafka.ends : [0n, 0n]]]);
      }
      async metadata() {
        const topic = { id: "1", partitionsCount: 2, partitions: [{ leader: 1 }, { leader: 1 }] };
        return { topics: new Map([["t", topic]]), brokers: new Map() };
      }
      async commit({ offsets }: { offsets: { partition: number; offset: bigint }[] }) {
        for (const { partition, offset } of offsets) kafka.committed.set(partition, offset);
      }
      async close() {}
    },
  };
});

const open = (offsetReset: OffsetReset) =>
  new GroupMember({
    ...{ client: { clientId: "c", bootstrapBrokers: [] }, groupId: "g", topics: ["t"], offsetReset },
    ...{ sessionTimeoutMs: 1000, heartbeatIntervalMs: 1000, maxFetchBytes: 1000 },
  });

test("where it begins is committed, too, though nothing came: its next life goes on from there", async () => {
  kafka.committed = new Map([[1, 4n]]);
  const member = open("latest");
  expect(await member.take({ room: 10, maxBytes: 1000, waitMs: 20 })).toEqual([]);
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
