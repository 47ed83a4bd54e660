/**
 * On how many devices a pool may say that something ran: no more than its session named when it said hello. What runs
 * on one device needs no look.
 */
import { createTtlCache } from "../../../plugins/kernel/ttl-cache.ts";
import type { EventsRequest } from "../../contract/event.ts";
import type { AttemptUsage } from "../../contract/usage.ts";
import type { Env } from "../../env.ts";
import type { PoolIdentity } from "../../fleet/types.ts";
import { devicesOfPool, devicesOfToken } from "../../registry/pools.ts";
import { log, reasonOf } from "../../telemetry/log.ts";

/** By session: those that said hello. */
const counts = createTtlCache<number>(1000);
/** By token. */
const behind = createTtlCache<number>(1000);
const COUNT_MS = 60_000;

type Pool = Pick<PoolIdentity, "poolTokenId">;
type Told = Pick<EventsRequest, "session" | "events" | "usage">;

/** The request with no attempt on more devices than its session has; a pool that never said hello has one. */
export async function capDevices<Request extends Told>(env: Env, request: Request, pool: Pool): Promise<Request> {
  const { session, events, usage: reports = [] } = request;
  const told = [...events, ...reports].map((one) => ("usage" in one ? (one.usage?.devices ?? 1) : 1));
  if (told.every((devices) => devices === 1)) return request;
  const most = await toldDevices(env, session, pool);
  const capped = <One extends object>(one: One): One => withMost(one, most);
  return { ...request, events: events.map(capped), ...(request.usage && { usage: request.usage.map(capped) }) };
}

/** How many devices the session has. While the database is away, no result waits for it: what is told is believed. */
export async function toldDevices(env: Env, session: string, { poolTokenId }: Pool): Promise<number> {
  const key = `${poolTokenId} ${session}`;
  const known = counts.get(key);
  if (known !== undefined) return known;
  try {
    const found = await devicesOfPool(env.DB, poolTokenId, session);
    if (found !== null) counts.set(key, Math.max(1, found), COUNT_MS);
    return Math.max(1, found ?? 1);
  } catch (error) {
    log.warn("pool_devices_not_read", { session, reason: reasonOf(error) });
    return Infinity;
  }
}

/** How many devices the token's sessions have together that are not over. Undefined: the database is away. */
export async function devicesBehind(env: Env, { poolTokenId }: Pool): Promise<number | undefined> {
  const known = behind.get(poolTokenId);
  if (known !== undefined) return known;
  try {
    const found = Math.max(1, await devicesOfToken(env.DB, poolTokenId));
    behind.set(poolTokenId, found, COUNT_MS);
    return found;
  } catch (error) {
    log.warn("pool_devices_not_read", { token: poolTokenId, reason: reasonOf(error) });
    return undefined;
  }
}

function withMost<One extends object & { usage?: AttemptUsage | undefined }>(one: One, most: number): One {
  const { usage } = one;
  if (usage?.devices === undefined || usage.devices <= most) return one;
  return { ...one, usage: { ...usage, devices: most } };
}
