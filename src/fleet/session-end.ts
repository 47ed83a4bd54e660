/** A session's end, as its lanes are told of it, and itself by the session that comes after it. */
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";

/**
 * How long the end waits for the lanes, which are told again by the session's alarm, and a pool's welcome for the
 * session before.
 */
const TELL_LIMIT_MS = 5000;

/**
 * Whether all were told: one that can't be, or doesn't answer, holds up nobody who waits for the end. Never
 * rejects.
 */
export async function wereTold(telling: Promise<void>): Promise<boolean> {
  try {
    await within(telling, TELL_LIMIT_MS);
    return true;
  } catch (error) {
    log.warn("session_end_deferred", { reason: reasonOf(error) });
    return false;
  }
}
