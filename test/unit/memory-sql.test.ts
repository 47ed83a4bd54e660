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
