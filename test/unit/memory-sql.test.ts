import { expect, it } from "vitest";
import { memorySql } from "./memory-sql.ts";

it("refuses a query that goes through a large table, and runs one that an index serves", () => {
  const sql = memorySql();
  sql("CREATE TABLE prediction (id TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID");
  expect(() => sql("SELECT id FROM prediction WHERE state = ?", "waiting")).toThrow(
    "a query goes through a whole table (SCAN prediction): SELECT id FROM prediction WHERE state = ?",
  );
  expect(() => sql("DELETE FROM prediction WHERE state = ?", "waiting")).toThrow("SCAN prediction");
  sql("CREATE INDEX by_state ON prediction (state)");
  expect(sql("SELECT id FROM prediction WHERE state = ?", "waiting")).toEqual([]);
});

it("refuses a query that sorts what waits in a lane", () => {
  const sql = memorySql();
  sql("CREATE TABLE waiting (flow INTEGER, created_at INTEGER, PRIMARY KEY (flow, created_at)) WITHOUT ROWID");
  sql("CREATE TABLE flow (flow INTEGER PRIMARY KEY, priority TEXT)");
  expect(sql("SELECT * FROM waiting WHERE flow = ? ORDER BY created_at LIMIT 1", 1)).toEqual([]);
  expect(() =>
    sql("SELECT * FROM waiting JOIN flow USING (flow) WHERE priority = ? ORDER BY created_at LIMIT 1", "low"),
  ).toThrow("a query sorts what it found of a large table");
});
