/** Stored schemas from each other, forwards, backwards and page by page. */
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { memorySql } from "../test/unit/memory-sql.ts";
import { addColumn, isEmpty, isNewerSchema, NewerSchemaError, nextPage, openSchema } from "./object-schema.ts";
import type { Schema, Step } from "./object-schema.ts";
import type { Sql, SqlRow } from "./shard/sql.ts";

const first: Step = { up: (sql) => void sql("CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, text TEXT)") };
const colour: Step = { up: (sql) => addColumn(sql, "thing", "colour", "TEXT"), isAdded: true };
const size: Step = { up: (sql) => addColumn(sql, "thing", "size", "INTEGER") };
/** Lengthens the texts of ten rows at a time. */
const longer: Step = {
  page(sql, after) {
    const rows = sql("SELECT id, text FROM thing WHERE id > ? ORDER BY id LIMIT 10", Number(after));
    for (const { id, text } of rows) sql("UPDATE thing SET text = ? WHERE id = ?", `${text}!`, id ?? null);
    return rows.length < 10 ? null : String(rows.at(-1)?.["id"]);
  },
};

const schema = (...steps: [Step, ...Step[]]): Schema => ({ name: "thing", steps });
const columns = (sql: Sql) => sql("SELECT name FROM pragma_table_info('thing')").map(({ name }) => name);
const numbers = (sql: Sql) => sql("SELECT version, needs, step, place FROM object_schema");

/** A database whose transactions are real, and what was asked of it. */
function database() {
  const db = new DatabaseSync(":memory:");
  const asked: string[] = [];
  const sql: Sql = (query, ...bindings) => {
    asked.push(query);
    return db
      .prepare(query)
      .all(...bindings)
      .map((row) => ({ ...row }) as SqlRow);
  };
  const transaction = <Result>(run: () => Result): Result => {
    db.exec("BEGIN");
    try {
      const result = run();
      db.exec("COMMIT");
      return result;
    } catch (error) {
      db.exec("ROLLBACK");
      throw error;
    }
  };
  return { sql, transaction, asked };
}

describe("a stored schema", () => {
  it("is made by all steps where nothing is stored, and only read from then on", () => {
    const { sql, asked } = database();
    expect(isEmpty(sql)).toBe(true);
    expect(openSchema(sql, schema(first, colour, size))).toBe(false);
    expect(columns(sql)).toEqual(["id", "text", "colour", "size"]);
    expect(isEmpty(sql)).toBe(false);
    asked.length = 0;
    openSchema(sql, schema(first, colour, size));
    expect(asked.map((query) => query.split(" ")[0])).toEqual(["SELECT", "SELECT"]);
  });

  it("is brought on from any number, and from before there were any, and keeps what is stored", () => {
    for (const from of [null, schema(first), schema(first, colour)]) {
      const sql = memorySql();
      if (from === null) first.up?.(sql);
      else openSchema(sql, from);
      sql("INSERT INTO thing (id, text) VALUES (1, 'a')");
      openSchema(sql, schema(first, colour, size));
      expect(sql("SELECT * FROM thing")).toEqual([{ id: 1, text: "a", colour: null, size: null }]);
      expect(numbers(sql)).toEqual([{ version: 3, needs: 3, step: null, place: "" }]);
    }
  });

  it("is as it was when a step fails, and is brought on by the next try", () => {
    const { sql, transaction } = database();
    openSchema(sql, schema(first), transaction);
    const fails: Step = {
      up() {
        throw new Error("the disk is full");
      },
    };
    expect(() => openSchema(sql, schema(first, size, fails), transaction)).toThrow("the disk is full");
    expect([columns(sql), numbers(sql)]).toEqual([["id", "text"], [{ version: 1, needs: 1, step: null, place: "" }]]);
    openSchema(sql, schema(first, size, colour), transaction);
    expect(columns(sql)).toEqual(["id", "text", "size", "colour"]);
  });

  it("is made anew where only its table is", () => {
    const { sql } = database();
    openSchema(sql, schema(first, size));
    sql("DELETE FROM object_schema");
    openSchema(sql, schema(first, size));
    expect(numbers(sql)).toEqual([{ version: 2, needs: 2, step: null, place: "" }]);
  });

  it("is refused by code that doesn't know it, which writes nothing and says what to do", () => {
    const { sql, asked } = database();
    openSchema(sql, schema(first, size));
    asked.length = 0;
    let error: unknown = null;
    try {
      openSchema(sql, schema(first));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(NewerSchemaError);
    expect(String(error)).toContain("this thing has schema 2, and this release knows 1; deploy that release again");
    expect(asked.map((query) => query.split(" ")[0])).toEqual(["SELECT", "SELECT"]);
    // As it arrives at a caller.
    expect(isNewerSchema(new Error((error as Error).message))).toBe(true);
    expect(isNewerSchema(new Error("something else"))).toBe(false);
  });

  it("is served by code from before a step that only added something, and stays at its number", () => {
    const sql = memorySql();
    openSchema(sql, schema(first, colour));
    expect(numbers(sql)).toEqual([{ version: 2, needs: 1, step: null, place: "" }]);
    openSchema(sql, schema(first));
    expect(numbers(sql)).toEqual([{ version: 2, needs: 1, step: null, place: "" }]);
    openSchema(sql, schema(first, colour, size));
    expect(numbers(sql)).toEqual([{ version: 3, needs: 3, step: null, place: "" }]);
  });
});

describe("a step that goes by pages", () => {
  const filled = (rows: number) => {
    const { sql, transaction } = database();
    openSchema(sql, schema(first));
    for (let id = 1; id <= rows; id += 1) sql("INSERT INTO thing VALUES (?, 'a')", id);
    return { sql, transaction };
  };
  const texts = (sql: Sql) => sql("SELECT DISTINCT text FROM thing").map(({ text }) => text);

  it("changes each row once, a page at a time, whenever it is broken off", () => {
    const { sql, transaction } = filled(25);
    const wanted = schema(first, longer);
    expect(openSchema(sql, wanted, transaction)).toBe(true);
    expect(texts(sql)).toEqual(["a"]);
    expect(nextPage(sql, wanted, transaction)).toBe(true);
    expect(numbers(sql)).toEqual([{ version: 2, needs: 2, step: 2, place: "10" }]);
    // A new life of the object finds where it was.
    expect(openSchema(sql, wanted, transaction)).toBe(true);
    expect(nextPage(sql, wanted, transaction)).toBe(true);
    expect(nextPage(sql, wanted, transaction)).toBe(false);
    expect(texts(sql)).toEqual(["a!"]);
    expect(openSchema(sql, wanted, transaction)).toBe(false);
    expect(nextPage(sql, wanted, transaction)).toBe(false);
    expect(texts(sql)).toEqual(["a!"]);
  });

  it("keeps its place when a page fails, and when a later step comes meanwhile", () => {
    const { sql, transaction } = filled(25);
    openSchema(sql, schema(first, longer), transaction);
    nextPage(sql, schema(first, longer), transaction);
    const fails: Step = {
      page(inner, after) {
        longer.page?.(inner, after);
        throw new Error("the disk is full");
      },
    };
    expect(() => nextPage(sql, schema(first, fails), transaction)).toThrow("the disk is full");
    const later = schema(first, longer, size, longer);
    expect(openSchema(sql, later, transaction)).toBe(true);
    expect(numbers(sql)).toEqual([{ version: 4, needs: 4, step: 2, place: "10" }]);
    let pages = 0;
    while (nextPage(sql, later, transaction)) pages += 1;
    expect(pages).toBe(4);
    expect(texts(sql)).toEqual(["a!!"]);
  });
});
