import { runInDurableObject } from "cloudflare:test";
import { testEnv as env } from "../../test/worker/edge-harness.ts";
import { describe, expect, it } from "vitest";
import { CommitStore, COMMIT_RETENTION_MS } from "./commits.ts";
import type { AppendRecord } from "./protocol.ts";
import { PartitionStore, SWEEP_ROWS } from "./store.ts";

const record = (value: string, timestamp: number | null = null): AppendRecord => ({
  key: null,
  value,
  headers: [],
  timestamp,
});
const append = (values: string[], partition = 0) => [
  { topic: "t", partition, partitionCount: 2, owner: null, records: values.map((value) => record(value)) },
];
const all = { records: 1000, bytes: 1_000_000 };
const whole = { ms: 1e12, bytes: 1e12 };
const never = (): boolean => false;
let serial = 0;

/** Runs `test` with a storage of its own; `reopen` makes the store as a restarted object would. */
async function withStorage(test: (reopen: () => PartitionStore, storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(env.LOG.getByName(`store-test-${++serial}`), (_, state) => {
    test(() => new PartitionStore(state.storage), state.storage);
  });
}

describe("PartitionStore", () => {
  it("never gives an offset twice: not after a restart, not after retention emptied the partition, not after both", async () => {
    await withStorage((reopen) => {
      const store = reopen();
      expect(store.append(append(["a", "b", "c"]), 1000, 1, never)).toEqual([
        { baseOffset: 0, timestamps: [1000, 1000, 1000], stride: 1 },
      ]);
      store.trim("t", 0, 5000, { ms: 1000, bytes: 1e12 }, 500);
      expect(store.bounds("t", 0)).toEqual({ start: 3, end: 3 });
      expect(store.read("t", 0, 3, all)).toEqual({ messages: [], next: 3 });
      const again = reopen();
      expect(again.bounds("t", 0)).toEqual({ start: 3, end: 3 });
      expect(again.append(append(["d"]), 6000, 1, never)[0]?.baseOffset).toBe(3);
      again.trim("t", 0, 9000, { ms: 1000, bytes: 1e12 }, 500);
      again.trim("t", 0, 9000, { ms: 1000, bytes: 1e12 }, 500);
      expect(again.append(append(["e"]), 9500, 1, never)[0]?.baseOffset).toBe(4);
      expect(
        reopen()
          .read("t", 0, 4, all)
          .messages.map((message) => message.value),
      ).toEqual(["e"]);
    });
  });

  it("writes one row for an append, however many records it has", async () => {
    await withStorage((reopen, storage) => {
      const store = reopen();
      store.append(append(["first"]), 1, 1, never);
      const rows = () => storage.sql.exec<{ n: number }>("select count(*) as n from batches").one().n;
      const before = rows();
      store.append(append(Array.from({ length: 500 }, (_, index) => String(index))), 1, 1, never);
      expect(rows() - before).toBe(1);
      expect(store.bounds("t", 0).end).toBe(501);
    });
  });

  it("reads on from the middle of a batch and over several, tail or not, within its limits", async () => {
    await withStorage((reopen) => {
      const store = reopen();
      store.append(append(["0", "1", "2"]), 1, 1, never);
      store.append(append(["3"]), 1, 1, never);
      store.append(append(["4", "5"]), 1, 1, never);
      for (const opened of [store, reopen()]) {
        for (let from = 0; from <= 6; from++) {
          const { messages, next } = opened.read("t", 0, from, all);
          expect(messages.map((message) => message.value)).toEqual(["0", "1", "2", "3", "4", "5"].slice(from));
          expect(next).toBe(6);
        }
        expect(opened.read("t", 0, 1, { records: 3, bytes: 1e9 })).toMatchObject({ next: 4 });
        expect(opened.read("t", 0, 0, { records: 9, bytes: 2 }).messages).toHaveLength(2);
        expect(opened.read("t", 0, 0, { records: 9, bytes: 0 }).messages).toHaveLength(1);
      }
    });
  });

  it("appends to all partitions or to none", async () => {
    await withStorage((reopen, storage) => {
      const store = reopen();
      let records = 0;
      const failing = (): boolean => {
        if (++records === 3) throw new Error("the disk is full");
        return false;
      };
      expect(() => store.append([...append(["a", "b"]), ...append(["c"], 1)], 1, 1, failing)).toThrow("disk is full");
      expect(store.bounds("t", 0)).toEqual({ start: 0, end: 0 });
      expect(storage.sql.exec<{ n: number }>("select count(*) as n from partitions").one().n).toBe(0);
      expect(store.append(append(["b"]), 1, 1, never)[0]?.baseOffset).toBe(0);
      expect(
        reopen()
          .read("t", 0, 0, all)
          .messages.map((message) => message.value),
      ).toEqual(["b"]);
    });
  });

  it("trims by size, oldest first, and keeps what is within it", async () => {
    await withStorage((reopen) => {
      const store = reopen();
      for (let index = 0; index < 10; index++) store.append(append(["x".repeat(1000)]), index, 1, never);
      expect(store.isOver("t", 0, { ms: 1e12, bytes: 3500 })).toBe(true);
      store.trim("t", 0, 10, { ms: 1e12, bytes: 3500 }, 500);
      expect(store.bounds("t", 0)).toEqual({ start: 7, end: 10 });
      expect(store.isOver("t", 0, { ms: 1e12, bytes: 3500 })).toBe(false);
      expect(reopen().bounds("t", 0)).toEqual({ start: 7, end: 10 });
    });
  });

  it("knows a size and an owner's after a restart as before it, whatever was trimmed or emptied", async () => {
    await withStorage((reopen) => {
      const store = reopen();
      const own = (topic: string, partition: number) => [
        { topic, partition, partitionCount: 2, owner: "user:a", records: [record("x".repeat(1000))] },
      ];
      for (let index = 0; index < 5; index++) {
        store.append([...own("a", 0), ...own("a", 1), ...own("b", 0)], index, 1, never);
        store.append(append(["x".repeat(1000)]), index, 1, never);
      }
      const check = (count: number) => {
        for (const opened of [store, reopen()]) {
          expect(Math.round(opened.topics.bytesOf("user:a") / 1000)).toBe(count);
          expect(opened.topics.bytesOf("user:b")).toBe(0);
        }
      };
      check(15);
      store.trim("a", 0, 5, { ms: 1e12, bytes: 2500 }, 500);
      check(12);
      store.trim("b", 0, 1e13, { ms: 1, bytes: 1 }, 500);
      check(7);
      store.append(own("b", 0), 6, 1, never);
      check(8);
      expect(reopen().isOver("a", 0, { ms: 1e12, bytes: 1900 })).toBe(true);
      expect(reopen().isOver("a", 0, { ms: 1e12, bytes: 2200 })).toBe(false);
    });
  });

  it("reads rows from before sizes were noted, and sizes what comes after them", async () => {
    await withStorage((reopen, storage) => {
      storage.sql.exec(`
        drop table object_schema; drop table topics; drop table partitions; drop table batches;
        create table topics (topic text primary key, partitions integer not null) without rowid;
        create table partitions (id integer not null, topic text, partition integer, primary key (topic, partition)) without rowid;
        create table batches (
          partition integer, base integer, count integer not null, at integer not null, max_timestamp integer not null,
          bytes integer not null, records text not null, primary key (partition, base)
        ) without rowid;
        insert into topics values ('t', 2);
        insert into partitions values (1, 't', 0);
        insert into batches values (1, 0, 1, 5, 5, 1000, '[]'), (1, 1, 1, 6, 6, 1000, '[]');
      `);
      const store = reopen();
      expect(store.bounds("t", 0)).toEqual({ start: 0, end: 2 });
      expect(store.append(append(["x".repeat(1000)]), 7, 1, never)[0]?.baseOffset).toBe(2);
      store.trim("t", 0, 100, { ms: 94, bytes: 1e12 }, 500);
      expect(reopen().bounds("t", 0)).toEqual({ start: 2, end: 3 });
      expect(reopen().isOver("t", 0, { ms: 1, bytes: 1100 })).toBe(false);
      expect(reopen().isOver("t", 0, { ms: 1, bytes: 900 })).toBe(true);
    });
  });

  it("sweeps in bounded steps and says when the next is due", async () => {
    await withStorage((reopen) => {
      const store = reopen();
      for (let index = 0; index < SWEEP_ROWS + 20; index++) store.append(append([String(index)]), 1, 1, never);
      store.append(append(["young"]), 5000, 1, never);
      const retention = { ms: 1000, bytes: 1e12 };
      expect(store.sweep(5500, retention).more).toBe(true);
      expect(store.sweep(5500, retention)).toEqual({ more: false, oldestAt: 5000 });
      expect(store.bounds("t", 0).start).toBe(SWEEP_ROWS + 20);
      expect(store.sweep(9000, retention).oldestAt).toBe(null);
      expect(store.sweep(9000, whole)).toEqual({ more: false, oldestAt: null });
    });
  });

  it("finds the offset of a time, in batches whose times are out of order too", async () => {
    await withStorage((reopen) => {
      const store = reopen();
      const records = [300, 100, 200].map((timestamp) => record("x", timestamp));
      store.append([{ topic: "t", partition: 0, partitionCount: 1, owner: null, records }], 1, 1, never);
      store.append(
        [{ topic: "t", partition: 0, partitionCount: 1, owner: null, records: [record("y", 400)] }],
        1,
        1,
        never,
      );
      expect([0, 250, 301, 400, 401].map((time) => store.offset("t", 0, time))).toEqual([0, 0, 3, 3, -1]);
    });
  });
});

describe("CommitStore", () => {
  it("keeps offsets as they were sent, over a restart, by group and partition", async () => {
    await withStorage((_, storage) => {
      const commits = new CommitStore(storage.sql, { offsets: 1000 });
      const offsets = Array.from({ length: 300 }, (_, partition) => ({ topic: "t", partition, offset: partition * 2 }));
      commits.commit("g", offsets, 1, "user:a");
      commits.commit("g", [{ topic: "t", partition: 7, offset: 3 }], 2, "user:a");
      const again = new CommitStore(storage.sql, { offsets: 1000 });
      expect(again.committed("g", { topic: "t", partition: 7 })).toBe(3);
      expect(again.committed("g", { topic: "t", partition: 299 })).toBe(598);
      expect(again.committed("other", { topic: "t", partition: 7 })).toBeUndefined();
    });
  });

  it("forgets groups that are long gone, but no live one", async () => {
    await withStorage((_, storage) => {
      const commits = new CommitStore(storage.sql, { offsets: 1000 });
      const place = { topic: "t", partition: 0 };
      for (const group of ["gone", "live"]) commits.commit(group, [{ ...place, offset: 1 }], 1, "user:a");
      commits.sweep(COMMIT_RETENTION_MS + 2, (group) => group === "live");
      const again = new CommitStore(storage.sql, { offsets: 1000 });
      for (const store of [commits, again]) {
        expect(store.committed("gone", place)).toBeUndefined();
        expect(store.committed("live", place)).toBe(1);
      }
    });
  });

  it("comes round to every group, some at each sweep", async () => {
    await withStorage((_, storage) => {
      const commits = new CommitStore(storage.sql, { offsets: 1000 });
      const groups = Array.from({ length: 250 }, (__, index) => `group-${index}`);
      for (const group of groups) commits.commit(group, [{ topic: "t", partition: 0, offset: 1 }], 1, "user:a");
      const rows = () => storage.sql.exec<{ n: number }>("select count(*) as n from commits").one().n;
      const left = [1, 2, 3].map(() => {
        commits.sweep(COMMIT_RETENTION_MS + 2, () => false);
        return rows();
      });
      expect(left).toEqual([150, 50, 0]);
    });
  });

  it("says that there is more to look at until it is round: a restart between two sweeps leaves nothing", async () => {
    await withStorage((_, storage) => {
      const place = { topic: "t", partition: 0 };
      const groups = Array.from({ length: 250 }, (__, index) => `group-${String(index).padStart(3, "0")}`);
      const commits = new CommitStore(storage.sql, { offsets: 1000 });
      for (const group of groups)
        commits.commit(group, [{ ...place, offset: 1 }], group < "group-200" ? 9 : 1, "user:a");
      const again = new CommitStore(storage.sql, { offsets: 1000 });
      const sweeps = [1, 2, 3].map(() => again.sweep(COMMIT_RETENTION_MS + 2, () => false));
      expect(sweeps).toEqual([true, true, false]);
      expect(again.committed("group-199", place)).toBe(1);
      expect(again.committed("group-200", place)).toBeUndefined();
    });
  });

  it("refuses a user's offsets beyond its quota, over restarts, and goes on to take those that only move", async () => {
    await withStorage((_, storage) => {
      const open = () => new CommitStore(storage.sql, { offsets: 3 });
      const at = (partition: number, offset: number) => [{ topic: "t", partition, offset }];
      for (const partition of [0, 1, 2]) expect(open().commit("g", at(partition, 1), 1, "user:a")).toBeNull();
      const commits = open();
      expect(commits.commit("h", at(0, 1), 1, "user:a")).toMatchObject({ code: "quota_exceeded" });
      expect(commits.committed("h", { topic: "t", partition: 0 })).toBeUndefined();
      expect(commits.commit("g", at(2, 5), 1, "user:a")).toBeNull();
      expect(commits.commit("h", at(0, 1), 1, "user:b")).toBeNull();
      commits.sweep(COMMIT_RETENTION_MS + 2, (group) => group === "h");
      expect(commits.commit("i", at(0, 1), 1, "user:a")).toBeNull();
    });
  });
});
