/** Sends what a shard's core collected: to lanes, the index, pool sessions and webhook senders. */
import { NotEndedError } from "../../plugins/kernel/reservations.ts";
import type { ReservationEnd, ReservationService } from "../../plugins/kernel/reservations.ts";
import type { ReportAnswer } from "../canary/canary-object.ts";
import type { Report } from "../canary/watch.ts";
import type { ClaimRef } from "../contract/channel.ts";
import type { Grant } from "../contract/claim.ts";
import type { Env } from "../env.ts";
import type { Lease } from "../fleet/types.ts";
import type { PublishSettings } from "../log/publish-settings.ts";
import { objectNamed, retryDelayMs } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import { responseService } from "../responses/service.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { ShardCore } from "./core.ts";
import { createCourier } from "./courier.ts";
import { createLaneCourier } from "./lane-courier.ts";
import { createMeterCourier } from "./meter-courier.ts";
import { putBack, take } from "./outgoing.ts";
import { createPublisher } from "./publish.ts";
import { reservationService } from "./reservation-services.ts";
import { createWebhookOutbox } from "./webhook-outbox.ts";
import { within } from "./within.ts";

/** Entries that one call to the index or to a session carries. */
const BATCH_ENTRIES = 500;
/** Grants that one call carries: with the largest inline inputs they stay far below what a call may. */
const BATCH_GRANTS = 200;
/** Reservations that one call gives back, and how long it may take. */
const BATCH_RESERVATIONS = 200;
const RESERVATIONS_LIMIT_MS = 10_000;
/** How long the next ones wait for it. */
const RESERVATIONS_WAIT_MS = 1000;
/** A courier then gives a call up: while it waits for an answer, nothing more leaves for that receiver. */
const CALL_LIMIT_MS = 30_000;
/** How long the index's feed gathers entries: alone, and while the shard is busy. */
const FEED_DELAY_MS = 100;
const BUSY_FEED_DELAY_MS = 500;
/** As many failures as make the next question about a lease due in about a second. */
const LEASE_FAILURES = 4;
/** How long its session may take to answer: the alarm, which ends what is overdue, waits for it. */
const LEASE_LIMIT_MS = 10_000;
/**
 * A grant that nothing was heard of for so long may not have arrived: its pool is asked. Grants that left within the
 * step are looked after together, by one timer: one of its own for each would wake the shard for each.
 */
const UNANSWERED_MS = 500;
const UNANSWERED_STEP_MS = 50;

export type Dispatch = ReturnType<typeof createDispatch>;

/** `onUnanswered`: these grants left half a second ago. */
export function createDispatch(
  env: Env,
  core: ShardCore,
  publish: PublishSettings,
  onUnanswered: (claims: ClaimRef[]) => void = () => {},
) {
  const { outgoing, store } = core;
  const timers = createObjectTimers();
  let lastFeed = 0;
  /** Grants that are looked after together with those that leave within the step from `beganAt` on. */
  let lately: { claims: ClaimRef[]; beganAt: number } = { claims: [], beganAt: -Infinity };

  const lanes = createLaneCourier(env, core);
  const grants = createCourier(() => outgoing.grants.keys(), grant);
  const index = createCourier(() => outgoing.feeds.keys(), feed);
  const pools = createCourier(() => outgoing.stops.keys(), stop);
  const reservations = createCourier(() => core.settlement.waiting.keys(), giveBack);
  const canaries = createCourier(() => outgoing.canaries.waiting(), tellCanary);
  const meters = createMeterCourier(env, core);
  const source = crypto.randomUUID();
  const publisher = createPublisher(env, core, publish);
  const webhooks = createWebhookOutbox(env, store);

  function inTime<T>(call: Promise<T>): Promise<T> {
    return within(call, CALL_LIMIT_MS, timers.after);
  }

  function lookAfter(claims: readonly ClaimRef[]): void {
    const now = Date.now();
    // A clock that was set back ends the batch, too.
    if (Math.abs(now - lately.beganAt) < UNANSWERED_STEP_MS) return void lately.claims.push(...claims);
    const batch = { claims: [...claims], beganAt: now };
    lately = batch;
    setTimeout(() => onUnanswered(batch.claims), UNANSWERED_MS + UNANSWERED_STEP_MS);
  }

  /**
   * A call that fails may have arrived all the same: its grants are looked after like all others, and not sent again.
   */
  async function grant(session: string): Promise<void> {
    const batch = take(outgoing.grants, session, BATCH_GRANTS);
    const claims = batch.map(({ id, token }) => ({ id, token }));
    lookAfter(claims);
    try {
      const stub: unknown = objectNamed(env.POOL, session);
      const hasLeft = await inTime((stub as RemoteSession).grant(batch));
      if (!hasLeft) core.granting.undelivered(claims);
    } catch {
      return;
    }
    lanes.kick();
  }

  async function feed(account: string): Promise<void> {
    const isFull = (outgoing.feeds.get(account)?.length ?? 0) >= BATCH_ENTRIES;
    if (!isFull) await sleep(lastFeed > 1 ? BUSY_FEED_DELAY_MS : FEED_DELAY_MS);
    const entries = take(outgoing.feeds, account, BATCH_ENTRIES);
    lastFeed = entries.length;
    try {
      await inTime(objectNamed(env.INDEX, account).feed(account, entries));
      outgoing.acknowledgeFeed(entries);
    } catch (error) {
      putBack(outgoing.feeds, account, entries);
      throw error;
    }
  }

  /** Reservations that end meanwhile wait for a service that hangs no longer than `RESERVATIONS_WAIT_MS`. */
  async function giveBack(service: string): Promise<void> {
    await Promise.race([giveBackNext(service), sleep(RESERVATIONS_WAIT_MS)]);
  }

  /** What fails is given back again, from its row. */
  async function giveBackNext(service: string): Promise<void> {
    const ends = core.settlement.take(service, BATCH_RESERVATIONS);
    const target = reservationService(env, service);
    if (target === null) {
      core.settlement.unknown(service, ends);
      return;
    }
    try {
      const left = await within(endAll(target, ends), RESERVATIONS_LIMIT_MS);
      const ended = ends.filter(({ id }) => !left.has(id));
      for (const { accountId, responseKey } of core.settlement.removed(ended))
        await within(responseService(env).forget(accountId, responseKey), RESERVATIONS_LIMIT_MS);
      core.settlement.settled(ended);
    } catch (error) {
      log.warn("reservations_not_given_back", { service, reservations: ends.length, reason: reasonOf(error) });
    }
  }

  /** Ends them; answers the ids of those that it could not end. */
  async function endAll(service: ReservationService, ends: readonly ReservationEnd[]): Promise<ReadonlySet<string>> {
    try {
      await service.end(ends);
      return new Set();
    } catch (error) {
      if (!(error instanceof NotEndedError)) throw error;
      log.warn("reservations_not_given_back", { reservations: error.ids.size, reason: reasonOf(error.cause) });
      return error.ids;
    }
  }

  async function tellCanary(id: string): Promise<void> {
    await sleep(outgoing.canaries.everyMs(id));
    const part = outgoing.canaries.take(id);
    if (part === null) return;
    const stub: unknown = objectNamed(env.CANARY, id);
    outgoing.canaries.settle(id, await inTime((stub as RemoteCanary).report(id, { source, ...part })));
  }

  async function stop(session: string): Promise<void> {
    const claims = take(outgoing.stops, session, BATCH_ENTRIES);
    try {
      await inTime(objectNamed(env.POOL, session).stop(claims));
    } catch (error) {
      putBack(outgoing.stops, session, claims);
      throw error;
    }
  }

  return {
    lanes,

    kick(): void {
      grants.kick();
      lanes.kick();
      index.kick();
      pools.kick();
      reservations.kick();
      canaries.kick();
      meters.kick();
      publisher.kick();
      const hasNewWebhooks = outgoing.takeWebhooks();
      if (hasNewWebhooks || webhooks.isPending()) webhooks.kick(hasNewWebhooks);
    },

    /** Whether something is on its way, or should be. */
    isPending(): boolean {
      const areBusy = [grants, index, pools, reservations].some((courier) => courier.isBusy());
      const areToFeed = outgoing.feeds.size > 0 || core.recovery.isSearching();
      return (
        areBusy ||
        lanes.isPending() ||
        areToFeed ||
        webhooks.isPending() ||
        core.ended.isPending() ||
        core.usage.isPending()
      );
    },

    /** The lease of a session that holds `ids`; the session is told to look whether its pool still does. */
    async leaseOf(session: string, ids: readonly string[]): Promise<Lease> {
      const claims = ids.flatMap((id) => {
        const token = store.get(id)?.token;
        return token === undefined || token === null ? [] : [{ id, token }];
      });
      try {
        return await within(
          objectNamed(env.POOL, session).check(claims, core.isPatient()),
          LEASE_LIMIT_MS,
          timers.after,
        );
      } catch (error) {
        // Not to know is not to have lost it: ask again soon.
        return { alive: true, remainingMs: retryDelayMs(LEASE_FAILURES, error) };
      }
    },
  };
}

/** A session as its shards see it; the platform's own stub type walks through every type of the signatures. */
type RemoteSession = { grant(grants: Grant[]): Promise<boolean> };
type RemoteCanary = { report(id: string, report: Report): Promise<ReportAnswer> };

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
