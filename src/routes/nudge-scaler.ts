/** Tells the scaler that something changed which keeps machines though nothing waits. */
import type { Env } from "../env.ts";
import { callObject } from "../object-calls.ts";
import { scalerObject } from "../scaling/object/remote.ts";
import { log, reasonOf } from "../telemetry/log.ts";

/** Never rejects: the scaler looks by itself while any machine is there. */
export async function nudgeScaler(env: Pick<Env, "SCALER">): Promise<void> {
  try {
    await callObject(() => scalerObject(env).changed());
  } catch (error) {
    log.warn("scaler_not_told", { reason: reasonOf(error) });
  }
}
