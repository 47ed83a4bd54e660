import { describe, expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { createResponseTable } from "./table.ts";
import type { ResponseEntry } from "./table.ts";

const OVERHEAD = 200;

function entry(key: string, more: Partial<ResponseEntry> = {}): ResponseEntry {
  const text = JSON.stringify({ output: `of ${key}`, yielded: false });
  return { key, text, bytes: 800, ttlMs: 1000, accountBytes: 10 * (800 + OVERHEAD), ...more };
}

describe("remembered outputs", () => {
  it("are there until their time is over", () => {
    const table = createResponseTable(memorySql());
    table.put(entry("a"), 0);
    expect(table.find("a", 999)).toEqual({ output: "of a", yielded: false });
    expect(table.find("a", 1000)).toBeNull();
    expect(table.find("b", 0)).toBeNull();
  });

  it("make room for what comes, those first that go first", () => {
    const table = createResponseTable(memorySql());
    for (let nth = 0; nth < 25; nth += 1) table.put(entry(`k${nth}`, { ttlMs: 1000 - nth }), 0);
    const left = Array.from({ length: 25 }, (_, nth) => nth).filter((nth) => table.find(`k${nth}`, 0) !== null);
    // What came last would go first, and so makes room for nothing that came before it.
    expect(left).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 24]);
    table.put(entry("large", { bytes: 5 * 1000 - OVERHEAD }), 0);
    expect(Array.from({ length: 25 }, (_, nth) => nth).filter((nth) => table.find(`k${nth}`, 0) !== null)).toHaveLength(
      5,
    );
  });

  it("count once where one comes again, also after a restart", () => {
    const sql = memorySql();
    for (let nth = 0; nth < 50; nth += 1) createResponseTable(sql).put(entry("same"), nth);
    const table = createResponseTable(sql);
    for (let nth = 0; nth < 9; nth += 1) table.put(entry(`k${nth}`), 100);
    expect(table.find("same", 100)).not.toBeNull();
    table.put(entry("one more"), 100);
    expect(table.find("same", 100)).toBeNull();
  });

  it("are not kept where they alone are too many", () => {
    const table = createResponseTable(memorySql());
    table.put(entry("a", { accountBytes: 999 }), 0);
    expect(table.find("a", 0)).toBeNull();
  });

  it("leave nothing behind", () => {
    const sql = memorySql();
    const table = createResponseTable(sql);
    expect(table.clean(0)).toBe(false);
    for (let nth = 0; nth < 10; nth += 1) table.put(entry(`k${nth}`, { ttlMs: 100 * (nth + 1) }), 0);
    expect(table.clean(500)).toBe(true);
    expect(sql("SELECT * FROM response")).toHaveLength(5);
    expect(table.clean(1000)).toBe(false);
    expect(sql("SELECT * FROM response")).toEqual([]);
  });
});
