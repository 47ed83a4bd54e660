/** An account's index with a million entries starts, takes entries and answers pages by few of them. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { testEnv as env } from "../../test/worker/edge-harness.ts";
import { AccountIndex } from "./account-index.ts";
import type { FeedEntry } from "./outgoing.ts";
import type { IndexRequest } from "./types.ts";

const ROWS = 1_000_000;
const NOW = Date.now();
const ALL: IndexRequest = {
  ...{ direction: "older", from: null, limit: 100, createdAfter: null, createdBefore: null },
  ...{ model: null, version: null, deployment: null, source: null },
};

it("reads few rows of a million", { timeout: 60_000 }, async () => {
  await runInDurableObject(env.INDEX.getByName("a-million-entries"), (_, state) => {
    // The first half is older than any prediction can be.
    state.storage.sql.exec(
      `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
       INSERT INTO entry SELECT ? + i + (i >= ?) * 50 * 86400000, 'p' || i, 'acme/m', 'v', NULL, 'api' FROM n`,
      ROWS,
      NOW - 50 * 86_400_000 - ROWS,
      ROWS / 2,
    );
    const read: number[] = [];
    const { sql } = state.storage;
    const exec = sql.exec.bind(sql);
    const counting = (query: string, ...bindings: unknown[]) => {
      const cursor = exec(query, ...bindings);
      const rows = cursor.toArray();
      read.push(cursor.rowsRead + cursor.rowsWritten);
      return { toArray: () => rows };
    };
    Object.defineProperty(sql, "exec", { value: counting });
    const index = new AccountIndex(state, env);
    const entry = (nth: number): FeedEntry => ({
      ...{ id: `z${nth}`, createdAt: NOW + nth, model: "acme/m", version: "v", deployment: null, source: "api" },
    });
    expect(index.page(ALL).entries).toHaveLength(100);
    expect(index.page({ ...ALL, direction: "newer", from: { id: "p7", createdAt: NOW } }).more).toBe(false);
    expect(index.page({ ...ALL, model: "acme/none" }).entries).toEqual([]);
    index.remove([{ id: "p999999", createdAt: NOW }]);
    expect(Math.max(...read)).toBeLessThan(25_000);
    read.length = 0;
    for (let nth = 0; nth < 4; nth += 1) {
      index.feed(
        "account",
        Array.from({ length: 500 }, (__, at) => entry(500 * nth + at)),
      );
    }
    expect(Math.max(...read)).toBeLessThan(25_000);
  });
});
