/** A session's end, as its lanes are told of it. */
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";

/** How long the end waits for the lanes; they are told again by the session's alarm. */
const LANES_LIMIT_MS = 5000;

/**
 * Whether all lanes were told: one that can't be, or doesn't answer, holds up nobody who waits for the end. Never
 * rejects.
 */
export async function wereTold(telling: Promise<void>): Promise<boolean> {
  try {
    await within(telling, LANES_LIMIT_MS);
    return true;
  } catch (error) {
    log.warn("session_end_deferred", { reason: reasonOf(error) });
    return false;
  }
}
