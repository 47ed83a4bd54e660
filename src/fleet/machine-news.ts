/** Of a pool on a rented machine, the scaler is told when it has come, and when it is over. */
import type { PoolMessage } from "../contract/channel.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { Known } from "./types.ts";

type Hello = Extract<PoolMessage, { type: "hello" }>;
type News = { type: "connected" | "ended"; machine: string; session: string; devices: number };

/** False when the scaler could not be told; that a pool has come it then notices by time. Never rejects. */
export async function tellScaler(
  env: Pick<Env, "SCALER">,
  { session, identity }: Pick<Known, "session" | "identity">,
  type: News["type"],
  hello?: Pick<Hello, "devices">,
): Promise<boolean> {
  const { machine } = identity;
  if (machine === undefined) return true;
  const stub: unknown = objectNamed(env.SCALER, "scaler");
  const remote = stub as { pool(news: News): Promise<void> };
  try {
    await callObject(() => remote.pool({ type, machine, session, devices: hello?.devices.length ?? 0 }));
    return true;
  } catch (error) {
    log.warn("scaler_not_told", { machine, reason: reasonOf(error) });
    return false;
  }
}
