/** Events of a pool's claims, however they came: screened, delivered to their shards, their endings noticed. */
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { EventsReply, EventsRequest } from "../../contract/event.ts";
import type { Env } from "../../env.ts";
import type { PoolIdentity } from "../../fleet/types.ts";
import { isPoolTokenValid } from "../../registry/pool-tokens.ts";
import { leaseSnapshot } from "../../settings/current.ts";
import type { ShardPort } from "../app.ts";
import { checkBlobs, claimsOf, isScreened, noticeEndings, screenEvents } from "./screen-events.ts";

type Port = Pick<ShardPort, "deliverEvents" | "screenedClaims">;

/**
 * Throws `forbidden` for an event that names a blob of another claim, and for the heartbeat of another token's session.
 */
export async function receiveEvents(
  env: Env,
  shard: Port,
  request: EventsRequest,
  pool: PoolIdentity,
): Promise<EventsReply> {
  checkBlobs(request.events);
  const lease = await leaseSnapshot(env);
  try {
    return await receive(env, shard, request, pool, lease.snapshot);
  } finally {
    lease.release();
  }
}

async function receive(
  env: Env,
  shard: Port,
  request: EventsRequest,
  pool: PoolIdentity,
  snapshot: Snapshot,
): Promise<EventsReply> {
  if (!isScreened(snapshot)) return shard.deliverEvents(env, request, pool);
  const claims = await shard.screenedClaims(env, claimsOf(request.events));
  const { events, left } = await screenEvents(snapshot, request.events, claims);
  const reply = await shard.deliverEvents(env, { ...request, events }, pool);
  await noticeEndings(snapshot, events, claims.known, reply);
  return { ...reply, verdicts: [...reply.verdicts, ...left] };
}

/** Those that a pool parked: its token was checked when its channel was opened, and may have been revoked since. */
export async function receiveParked(
  env: Env,
  shard: Port,
  request: EventsRequest,
  pool: PoolIdentity,
): Promise<EventsReply> {
  if (await isPoolTokenValid(env, pool.poolTokenId)) return receiveEvents(env, shard, request, pool);
  throw new EdgeplaneError("unauthenticated", "The pool token was revoked.");
}
