/** Of a pool on a rented machine, the scaler is told when it has come, and when it is over. */
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { Known } from "./types.ts";

type News = {
  type: "connected" | "ended";
  machine: string;
  session: string;
  devices: number;
  meteredFromMs?: number;
};

/** After so long the scaler is told again what it could not be told. */
export const TELL_AGAIN_MS = 5000;
/** A pool's welcome, and its end, wait so long for a scaler that hangs. */
const TELL_LIMIT_MS = 5000;

/**
 * False when the scaler could not be told: until it was, its machine counts as one that doesn't work. Never rejects.
 */
export async function tellScaler(
  env: Pick<Env, "SCALER">,
  { session, identity, meteredFromMs }: Pick<Known, "session" | "identity" | "meteredFromMs">,
  type: News["type"],
  devices = 0,
): Promise<boolean> {
  const { machine } = identity;
  if (machine === undefined) return true;
  const stub: unknown = objectNamed(env.SCALER, "scaler");
  const remote = stub as { pool(news: News): Promise<void> };
  try {
    const since = meteredFromMs === undefined ? {} : { meteredFromMs };
    const told = callObject(() => remote.pool({ type, machine, session, devices, ...since }));
    await within(told, TELL_LIMIT_MS);
    return true;
  } catch (error) {
    log.warn("scaler_not_told", { machine, reason: reasonOf(error) });
    return false;
  }
}
