/** Events of a pool's claims, however they came: screened, delivered to their shards, their endings noticed. */
import { waitUntil } from "cloudflare:workers";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { EventsReply, EventsRequest } from "../../contract/event.ts";
import type { Env } from "../../env.ts";
import type { PoolIdentity } from "../../fleet/types.ts";
import { isPoolTokenValid } from "../../registry/pool-tokens.ts";
import { leaseSnapshot } from "../../settings/current.ts";
import type { ScreenedEvent } from "../../shard/types.ts";
import type { ShardPort } from "../app.ts";
import { largeOutputs } from "./large-outputs.ts";
import { createScreenings } from "./screenings.ts";
import { checkBlobs, claimsOf, deliverScreened, isScreened, noticeEndings, silent } from "./screen-events.ts";

const screenings = createScreenings(() => Date.now());

type Port = Pick<ShardPort, "deliverEvents" | "reportUsage" | "screenedClaims">;

/**
 * Throws `forbidden` for an event that names a blob of another claim, and for the heartbeat of another token's session.
 */
export async function receiveEvents(
  env: Env,
  shard: Port,
  { usage, ...request }: EventsRequest,
  pool: PoolIdentity,
): Promise<EventsReply> {
  checkBlobs(request.events);
  if (usage === undefined) return receive(env, shard, request, pool);
  // First: an event may begin the attempt behind one that is reported.
  const taken = await shard.reportUsage(env, usage, { session: request.session, lanes: pool.lanes });
  return { ...(await receive(env, shard, request, pool)), usage: taken };
}

type Events = Omit<EventsRequest, "usage">;

async function receive(env: Env, shard: Port, request: Events, pool: PoolIdentity): Promise<EventsReply> {
  const { snapshot, release } = await leaseSnapshot(env);
  const work: Promise<unknown>[] = [];
  try {
    if (!isScreened(snapshot)) return await shard.deliverEvents(env, request, pool);
    return await receiveScreened(env, shard, request, pool, { snapshot, behind: (one) => void work.push(one) });
  } finally {
    if (work.length === 0) release();
    else waitUntil(Promise.all(work).then(release));
  }
}

async function receiveScreened(
  env: Env,
  shard: Port,
  { session, events, heartbeat }: Events,
  pool: PoolIdentity,
  { snapshot, behind }: { snapshot: Snapshot; behind: (work: Promise<unknown>) => void },
): Promise<EventsReply> {
  const unseen = silent(events);
  const isSilent = new Set<unknown>(unseen);
  const spoken = events.filter((event) => !isSilent.has(event));
  const deliver = (some: ScreenedEvent[], holds = heartbeat) =>
    shard.deliverEvents(env, { session, events: some, heartbeat: holds }, pool);
  if (spoken.length === 0) return deliver(unseen);
  const claims = await shard.screenedClaims(env, claimsOf(spoken));
  // The lease is held by the first call.
  let holds = heartbeat;
  const screened: ScreenedEvent[] = [];
  const deps = {
    ...{ snapshot, screenings, behind, large: largeOutputs(env.BLOBS) },
    deliver(some: ScreenedEvent[]) {
      screened.push(...some);
      const delivered = deliver(some, holds);
      holds = false;
      return delivered;
    },
  };
  const reply = await deliverScreened(spoken, unseen, claims, deps);
  if (holds === true) await deliver([]);
  behind(noticeEndings(snapshot, screened, claims.known, reply));
  return reply;
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
