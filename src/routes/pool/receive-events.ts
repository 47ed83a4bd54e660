/** Events of a pool's claims, however they came: screened, delivered to their shards, their endings noticed. */
import { waitUntil } from "cloudflare:workers";
import type { Hooks, Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { createTtlCache } from "../../../plugins/kernel/ttl-cache.ts";
import type { AttachedPlugin } from "../../contract/attached-plugin.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { EventsReply, EventsRequest } from "../../contract/event.ts";
import type { Env } from "../../env.ts";
import type { PoolIdentity } from "../../fleet/types.ts";
import type { ModelRef } from "../../contract/prediction.ts";
import { findPlugins } from "../../registry/bundles.ts";
import { isPoolTokenValid } from "../../registry/pool-tokens.ts";
import { guardsOf } from "../../sandbox/pushed/guards.ts";
import type { PushedPolicy } from "../../sandbox/pushed/policy.ts";
import { leaseSnapshot } from "../../settings/current.ts";
import type { Screened, ScreenedEvent } from "../../shard/types.ts";
import type { ShardPort } from "../app.ts";
import { largeOutputs } from "./large-outputs.ts";
import { createScreenings } from "./screenings.ts";
import { capDevices } from "./told-devices.ts";
import { checkBlobs, claimsOf, deliverScreened, isScreened, noticeEndings, silent } from "./screen-events.ts";

/** The plugins of guarded versions, which never change. */
const attached = createTtlCache<AttachedPlugin[]>(1000);
const ATTACHED_MS = 3_600_000;

const screenings = createScreenings(() => Date.now());

type Port = Pick<ShardPort, "deliverEvents" | "reportUsage" | "screenedClaims">;

/**
 * Throws `forbidden` for an event that names a blob of another claim, and for the heartbeat of another token's session.
 */
export async function receiveEvents(
  env: Env,
  shard: Port,
  told: EventsRequest,
  pool: PoolIdentity,
): Promise<EventsReply> {
  checkBlobs(told.events);
  const { usage, ...request } = await capDevices(env, told, pool);
  if (usage === undefined) return receive(env, shard, request, pool);
  // First: an event may begin the attempt behind one that is reported.
  const taken = await shard.reportUsage(env, usage, { session: request.session, lanes: pool.lanes });
  return { ...(await receive(env, shard, request, pool)), usage: taken };
}

type Events = Omit<EventsRequest, "usage">;

async function receive(env: Env, shard: Port, request: Events, pool: PoolIdentity): Promise<EventsReply> {
  const { snapshot, pushed, release } = await leaseSnapshot(env);
  const work: Promise<unknown>[] = [];
  try {
    const screening = { snapshot, pushed, behind: (one: Promise<unknown>) => void work.push(one) };
    if (isScreened(snapshot)) return await receiveScreened(env, shard, request, pool, screening);
    return await receiveUnscreened(env, shard, request, pool, screening);
  } finally {
    if (work.length === 0) release();
    else waitUntil(Promise.all(work).then(release));
  }
}

type Screening = { snapshot: Snapshot; pushed: PushedPolicy; behind: (work: Promise<unknown>) => void };

/**
 * Where no plugin of the operator's screens: a shard asks again for what the plugins of a prediction's own version have
 * yet to screen, and only that is screened.
 */
async function receiveUnscreened(
  env: Env,
  shard: Port,
  request: Events,
  pool: PoolIdentity,
  screening: Screening,
): Promise<EventsReply> {
  const reply = await shard.deliverEvents(env, request, pool);
  const asked = reply.verdicts.filter(({ verdict }) => verdict === "resend");
  if (asked.length === 0) return reply;
  const { known } = await shard.screenedClaims(env, claimsOf(asked));
  const guarded = new Set(known.filter((claim) => claim.isGuarded === true).map(({ token }) => token));
  const events = request.events.filter(({ token }) => guarded.has(token));
  if (events.length === 0) return reply;
  const again = await receiveScreened(env, shard, { session: request.session, events }, pool, screening);
  return {
    verdicts: [...reply.verdicts.filter(({ token }) => !guarded.has(token)), ...again.verdicts],
    cancel: [...reply.cancel, ...again.cancel],
  };
}

async function receiveScreened(
  env: Env,
  shard: Port,
  { session, events, heartbeat }: Events,
  pool: PoolIdentity,
  { snapshot, pushed, behind }: Screening,
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
    withGuards: async (hooks: Hooks, { model }: Screened) => {
      const own = await guardsOf(env, pushed, model, await pluginsOf(env.DB, model));
      return { ...hooks, hooks: { ...hooks.hooks, screenOutput: [...own.screenOutput, ...hooks.hooks.screenOutput] } };
    },
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

/** The plugins of the version of a guarded prediction; null: nobody knows them any more. */
async function pluginsOf(db: D1Database, model: ModelRef): Promise<AttachedPlugin[] | null> {
  const key = JSON.stringify(model);
  const known = attached.get(key);
  if (known !== undefined) return known;
  const found = await findPlugins(db, model);
  if (found !== null) attached.set(key, found, ATTACHED_MS);
  return found;
}
