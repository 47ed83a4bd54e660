import fc from "fast-check";
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { oldest } from "./peek.ts";
import { createRows } from "./rows.ts";
import type { Waiting } from "./rows.ts";

const waitingOf = (id: string, createdAt: number): Waiting => ({
  ...{ id, createdAt, startBy: 0, cost: 1, traceparent: null, ownIndex: 0, upTo: 0 },
});

/** Rows of a few flows; `read` counts what was read of them. */
function setUp(entries: readonly (readonly [flow: number, createdAt: number])[]) {
  const counts = { read: 0 };
  const sql = memorySql();
  const rows = createRows((query, ...bindings) => {
    const found = sql(query, ...bindings);
    if (query.startsWith("SELECT")) counts.read += found.length;
    return found;
  });
  const stored = entries.map(([flow, createdAt], index) => ({ flow, ...waitingOf(`p${index}`, createdAt) }));
  rows.insert(stored);
  const flows = [...new Set(entries.map(([flow]) => flow))].map((flow) => ({ flow }));
  const peek = (offset: number, limit: number) => oldest(rows, flows, offset, limit).map(({ waiting }) => waiting.id);
  return { peek, counts, stored };
}

it("shows any part of what waits, oldest first", () => {
  const entry = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 20 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 120 }), fc.nat(130), fc.nat(50), (entries, offset, limit) => {
      const { peek, stored } = setUp(entries);
      const sorted = stored.toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
      expect(peek(offset, limit)).toEqual(sorted.slice(offset, offset + limit).map(({ id }) => id));
    }),
    { numRuns: 100 },
  );
});

it("reads no more than it is asked for, however much waits", () => {
  const { peek, counts } = setUp(Array.from({ length: 20_000 }, (_, index) => [index % 4, index]));
  expect(peek(10, 30)).toHaveLength(30);
  expect(counts.read).toBeLessThan(200);
});
