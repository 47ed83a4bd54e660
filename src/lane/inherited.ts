/**
 * What a lane of the release before stored (table `entry`): it doesn't say when its predictions were accepted, which is
 * what places them here. So their shards are asked to hand on all that waits in them, and the old tables go when all
 * have.
 */
import { shardName, shardOf } from "../contract/ids.ts";
import type { Sql } from "../shard/sql.ts";

/** Shards that are asked at a time. */
const CALLS = 32;

/** Does nothing where there is nothing old. Throws when a shard can't be reached: what it was for is still there. */
export async function handOnInherited(sql: Sql, ask: (shard: string) => Promise<void>): Promise<void> {
  if (!hasInherited(sql)) return;
  const shards = shardsOf(sql);
  for (let at = 0; at < shards.length; at += CALLS) await Promise.all(shards.slice(at, at + CALLS).map(ask));
  sql("DROP TABLE entry");
  sql("DROP TABLE IF EXISTS pool");
}

/**
 * The shards of what is stored. An id begins with its shard's number, so that the index is looked into once a shard.
 */
function shardsOf(sql: Sql): string[] {
  const shards: string[] = [];
  for (let last = ""; ;) {
    const [row] = sql("SELECT id FROM entry WHERE id > ? ORDER BY id LIMIT 1", last);
    if (row === undefined) return shards;
    const id = String(row["id"]);
    shards.push(shardName(shardOf(id)));
    last = `${id.slice(0, 2)}~`;
  }
}

function hasInherited(sql: Sql): boolean {
  return sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'entry'").length > 0;
}
