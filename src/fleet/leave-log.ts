/** A pool that may be gone leaves the embedded log: its partitions go to others at once, not after its instances have timed out. */
import type { Env } from "../env.ts";
import { createLogClient } from "../log/client.ts";
import { currentLog, READ_BOTH_MS } from "../log/current-log.ts";
import type { PoolIdentity } from "./types.ts";

/**
 * Takes the session's instances out of its lanes' consumer groups. A pool that lives after all joins again with its next poll. With another
 * log, that one sees to it itself. Never throws.
 */
export async function leaveLog(
  env: Env,
  pool: { session: string; identity: PoolIdentity; lanes: string[] },
): Promise<void> {
  const setting = await currentLog(env).then(
    (current) => current.setting,
    () => null,
  );
  // For a while after a move pools read the log before, too.
  if (setting?.choice.driver === "upstash" && Date.now() - setting.since > 2 * READ_BOTH_MS) return;
  const log = createLogClient(env);
  const principal = `pool:${pool.identity.poolTokenId}`;
  const leave = (lane: string) => log.removeInstance({ group: `lane.${lane}`, instance: pool.session, principal });
  // One that doesn't poll is no instance: there is nothing to leave then.
  await Promise.allSettled(pool.lanes.map(leave));
}
