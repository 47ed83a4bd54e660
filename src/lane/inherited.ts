/**
 * What a lane of the release before stored (table `entry`): it doesn't say when its predictions were accepted, which is what places them here. So
 * their shards are asked to hand on all that waits in them, and the old tables go when all have.
 */
import { shardName, shardOf } from "../contract/ids.ts";
import type { Sql } from "../shard/sql.ts";

/** Shards that are asked at a time. */
const CALLS = 32;

/** Does nothing where there is nothing old. Throws when a shard can't be reached: what it was for is still there. */
export async function handOnInherited(sql: Sql, ask: (shard: string) => Promise<void>): Promise<void> {
  if (!hasInherited(sql)) return;
  const shards = sql("SELECT id, MIN(substr(id, 1, 2)) AS number FROM entry GROUP BY substr(id, 1, 2)");
  for (let at = 0; at < shards.length; at += CALLS) {
    await Promise.all(shards.slice(at, at + CALLS).map(({ id }) => ask(shardName(shardOf(String(id))))));
  }
  sql("DROP TABLE entry");
  sql("DROP TABLE IF EXISTS pool");
}

function hasInherited(sql: Sql): boolean {
  return sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'entry'").length > 0;
}
