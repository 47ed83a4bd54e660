/** A session tells its lanes of its end, and the session before it that it is over. */
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";

/**
 * The end waits so long for the lanes, which the session's alarm tells again; a pool's welcome waits as long for the
 * session before.
 */
const TELL_LIMIT_MS = 5000;

/** Whether all were told within the limit: one that fails or hangs holds up nobody. Never rejects. */
export async function wereTold(telling: Promise<void>): Promise<boolean> {
  try {
    await within(telling, TELL_LIMIT_MS);
    return true;
  } catch (error) {
    log.warn("session_end_deferred", { reason: reasonOf(error) });
    return false;
  }
}
