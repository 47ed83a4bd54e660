/** What a lane of the release before left behind. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { handOnInherited } from "./inherited.ts";

/** The tables of a lane of that release, with an entry for each id. */
function oldLane(ids: readonly string[]) {
  const sql = memorySql();
  sql(
    "CREATE TABLE entry (priority TEXT NOT NULL, ticket INTEGER NOT NULL, id TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (priority, ticket)) WITHOUT ROWID",
  );
  sql("CREATE UNIQUE INDEX entry_id ON entry (id)");
  sql(
    "CREATE TABLE pool (session TEXT PRIMARY KEY, slots INTEGER NOT NULL, max_batch_size INTEGER NOT NULL) WITHOUT ROWID",
  );
  ids.forEach((id, ticket) => sql("INSERT INTO entry VALUES ('normal', ?, ?, '{}')", ticket, id));
  return { sql, tables: () => sql("SELECT name FROM sqlite_master WHERE type = 'table'").map(({ name }) => name) };
}

const idOf = (shard: string, number: number) => `${shard}${String(number).padStart(24, "0")}`;

it("asks each shard of what waited once to hand on again, and forgets the old tables", async () => {
  const { sql, tables } = oldLane([idOf("00", 1), idOf("00", 2), idOf("01", 1), idOf("10", 1)]);
  const asked: string[] = [];
  await handOnInherited(sql, async (shard) => void asked.push(shard));
  expect(asked.toSorted()).toEqual(["shard-0", "shard-1", "shard-32"]);
  expect(tables()).toEqual([]);
  await handOnInherited(sql, () => Promise.reject(new Error("nobody is asked again")));
});

it("keeps what it inherited until all shards were reached", async () => {
  const { sql, tables } = oldLane([idOf("00", 1), idOf("01", 1)]);
  const ask = async (shard: string) => {
    if (shard === "shard-1") throw new Error("away");
  };
  await expect(handOnInherited(sql, ask)).rejects.toThrow("away");
  expect(tables()).toContain("entry");
});
