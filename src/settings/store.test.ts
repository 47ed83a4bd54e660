import { describe, expect, it } from "vitest";
import { smallRowsSql } from "../../test/unit/memory-sql.ts";
import { diffOf } from "./diff.ts";
import { SettingsSchema } from "./schema.ts";
import { createSettingsTable } from "./store.ts";

const settingsOf = (limit: unknown) => SettingsSchema.parse({ plugins: { custom: { config: { limit } } } });
const publication = { at: 5, by: "ada", why: "a test", restores: null };

describe("the table of settings", () => {
  it("numbers what is published, and keeps each number", () => {
    const table = createSettingsTable(smallRowsSql());
    expect([table.current(), table.read(0)?.number]).toEqual([0, 0]);
    expect(table.publish(settingsOf(1), publication, null)).toBe(1);
    expect(table.publish(settingsOf(2), { ...publication, restores: 1 }, 1)).toBe(2);
    expect([table.read(1), table.read(2), table.read(3)]).toEqual([
      { number: 1, settings: settingsOf(1) },
      { number: 2, settings: settingsOf(2) },
      null,
    ]);
    expect(table.list(10, 10).map(({ number, restores }) => [number, restores])).toEqual([
      [2, 1],
      [1, null],
    ]);
    expect(table.list(2, 10)).toEqual([{ number: 1, ...publication }]);
  });

  it("refuses to replace another number than the expected one", () => {
    const table = createSettingsTable(smallRowsSql());
    table.publish(settingsOf(1), publication, 0);
    expect(table.publish(settingsOf(2), publication, 0)).toBeNull();
    expect(table.current()).toBe(1);
  });

  it("keeps settings that are larger than a row may be", () => {
    const table = createSettingsTable(smallRowsSql());
    const large = settingsOf("字".repeat(2_000_000));
    table.publish(large, publication, null);
    expect(table.read(1)?.settings).toEqual(large);
  });

  it("keeps characters of two units whole, wherever a row ends", () => {
    for (const before of ["", "x"]) {
      const table = createSettingsTable(smallRowsSql());
      const large = settingsOf(`${before}${"😀".repeat(600_000)}`);
      table.publish(large, publication, null);
      expect(table.read(1)?.settings).toEqual(large);
    }
  });

  it("adds up what is counted", () => {
    const table = createSettingsTable(smallRowsSql());
    expect([table.count("a", 0), table.count("a", 2), table.count("a", 3), table.count("b", 0)]).toEqual([0, 2, 5, 0]);
  });
});

describe("a difference", () => {
  it("is told field by field, in JSON pointers", () => {
    const from = { plugins: { a: { config: { x: 1, list: [1, 2] } }, "b/c~d": {} } };
    const to = { plugins: { a: { config: { x: 1, list: [2] } }, e: { shadow: true } } };
    expect(diffOf(from, to)).toEqual([
      { path: "/plugins/a/config/list", from: [1, 2], to: [2] },
      { path: "/plugins/b~1c~0d", from: {}, to: null },
      { path: "/plugins/e", from: null, to: { shadow: true } },
    ]);
  });
});
