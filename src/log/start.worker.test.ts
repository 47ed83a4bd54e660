/** A broker's start, its first calls and its sweeps read a bounded number of rows, however many it has: SQLite counts them. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { testEnv as env } from "../../test/worker/edge-harness.ts";
import { encodeBatches } from "./batch.ts";
import { CommitStore } from "./commits.ts";
import type { Append } from "./protocol.ts";
import { PartitionStore } from "./store.ts";

const ROWS = 1_000_000;
const NOW = 1_800_000_000_000;
const MOST_READ = 5000;

it("reads few rows of a million", { timeout: 60_000 }, async () => {
  await runInDurableObject(env.LOG.getByName("a-million-rows"), (_, { storage }) => {
    const one = [{ key: null, value: "x", headers: [], timestamp: NOW }];
    const text = encodeBatches(one, NOW, () => false)
      .map((batch) => batch.text)
      .join("");
    storage.sql.exec("insert into topics values ('t', 2, 'user:a')");
    storage.sql.exec("insert into partitions values (1, 't', 0), (2, 't', 1)");
    storage.sql.exec(
      `with recursive n(i) as (select 0 union all select i + 1 from n where i < ? - 1)
       insert into batches select 1, i, 1, ?, ?, 10, ?, 10 * (i + 1) from n`,
      ROWS,
      NOW,
      NOW,
      text,
    );
    storage.sql.exec(
      `with recursive n(i) as (select 0 union all select i + 1 from n where i < ? - 1)
       insert into commits select 'group-' || i, 't', 0, 1, ?, 'user:' || (i / 1000) from n`,
      ROWS,
      NOW,
    );
    const cursors: { rowsRead: number }[] = [];
    const sql = {
      exec: (query: string, ...bindings: unknown[]) => {
        const cursor = storage.sql.exec(query, ...bindings);
        cursors.push(cursor);
        return cursor;
      },
    } as unknown as SqlStorage;
    const counted = {
      sql,
      transactionSync: <T>(run: () => T) => storage.transactionSync(run),
    } as unknown as DurableObjectStorage;
    const store = new PartitionStore(counted);
    const commits = new CommitStore(sql, { offsets: 20_000 });
    expect(store.bounds("t", 0)).toEqual({ start: 0, end: ROWS });
    expect(store.topics.bytesOf("user:a")).toBe(10 * ROWS);
    expect(store.isOver("t", 0, { ms: 1, bytes: 10 * ROWS - 1 })).toBe(true);
    const records = [{ key: null, value: "x", headers: [], timestamp: null }];
    const append: Append = { topic: "t", partition: 0, partitionCount: 2, owner: "user:a", records };
    expect(store.append([append], NOW, 1, () => false)[0]?.baseOffset).toBe(ROWS);
    expect(store.read("t", 0, ROWS / 2, { records: 10, bytes: 1000 }).next).toBeGreaterThan(ROWS / 2);
    expect(store.sweep(NOW, { ms: 1000, bytes: 1e12 })).toEqual({ more: false, oldestAt: NOW });
    expect(commits.committed("group-999999", { topic: "t", partition: 0 })).toBe(1);
    expect(commits.commit("fresh", [{ topic: "t", partition: 0, offset: 1 }], NOW, "user:7")).toBeNull();
    commits.sweep(NOW, () => false);
    expect(cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0)).toBeLessThan(MOST_READ);
  });
});
