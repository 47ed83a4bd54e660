/** Sends what a shard's core collected: to lanes, the index, pool sessions and webhook senders; and knows the lanes' stats. */
import type { PredictionSnapshot, QueuePlace, Status } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import type { Lease } from "../fleet/types.ts";
import { placeOf } from "../lane/order.ts";
import type { LaneStats } from "../lane/types.ts";
import type { PublishSettings } from "../log/publish-settings.ts";
import { objectNamed, retryDelayMs } from "../object-calls.ts";
import type { ShardCore } from "./core.ts";
import { createCourier } from "./courier.ts";
import { createPublisher } from "./publish.ts";
import { createWebhookOutbox } from "./webhook-outbox.ts";

/** Entries that one call to a lane, or to the index, carries. */
const BATCH_ENTRIES = 500;
/** Ids that it carries besides. SQLite takes a list of them as one text, of 2 MB at most. */
const BATCH_IDS = 5000;
/** News that nobody waits for wait for company: claims while the lane is empty, newcomers while it is not. */
const PATIENT_NEWS_MS = 100;
/** How long the index's feed gathers entries: alone, and while the shard is busy. */
const FEED_DELAY_MS = 100;
const BUSY_FEED_DELAY_MS = 500;
/** As many failures as make the next question about a lease due in about a second. */
const LEASE_FAILURES = 4;

export type Dispatch = ReturnType<typeof createDispatch>;

type LaneView = { stats: LaneStats; at: number; tickets: Map<string, number | null> };

export function createDispatch(env: Env, core: ShardCore, publish: PublishSettings) {
  const { outgoing, store } = core;
  const views = new Map<string, LaneView>();
  let lastFeed = 0;

  const patientSince = new Map<string, number>();

  const lanes = createCourier(lanesWithNews, exchange);
  const index = createCourier(() => outgoing.feeds.keys(), feed);
  const pools = createCourier(() => outgoing.stops.keys(), stop);
  const publisher = createPublisher(env, core, publish);
  const webhooks = createWebhookOutbox(env, store);

  /** Lanes with news that is urgent, or has waited for company long enough. What is urgent never waits for what is not. */
  function lanesWithNews(): string[] {
    const withNews = new Set([...nonEmpty(outgoing.hands), ...outgoing.withdrawals.keys(), ...outgoing.claims.keys()]);
    return [...withNews].filter((lane) => isUrgent(lane) || hasWaited(lane));
  }

  function isUrgent(lane: string): boolean {
    const view = views.get(lane);
    const hands = outgoing.hands.get(lane)?.size ?? 0;
    return view !== undefined && isBackedUp(view) ? hands === 0 || outgoing.claims.has(lane) : hands > 0;
  }

  function hasWaited(lane: string): boolean {
    const since = patientSince.get(lane);
    if (since !== undefined) return Date.now() - since >= PATIENT_NEWS_MS;
    patientSince.set(lane, Date.now());
    setTimeout(() => lanes.kick(), PATIENT_NEWS_MS + 1);
    return false;
  }

  async function exchange(lane: string): Promise<void> {
    patientSince.delete(lane);
    const entries = [...(outgoing.hands.get(lane)?.values() ?? [])].slice(0, BATCH_ENTRIES);
    for (const { id } of entries) outgoing.hands.get(lane)?.delete(id);
    const withdrawn = take(outgoing.withdrawals, lane, BATCH_IDS);
    const claimed = take(outgoing.claims, lane, BATCH_IDS);
    try {
      const reply = await objectNamed(env.LANE, lane).exchange(lane, { entries, withdrawn, claimed });
      note(lane, reply.stats, reply.tickets, [...withdrawn, ...claimed]);
    } catch (error) {
      const waiting = outgoing.hands.get(lane) ?? new Map<string, (typeof entries)[number]>();
      outgoing.hands.set(lane, waiting);
      for (const entry of entries) if (!waiting.has(entry.id) && stillWaits(entry.id)) waiting.set(entry.id, entry);
      putBack(outgoing.withdrawals, lane, withdrawn);
      putBack(outgoing.claims, lane, claimed);
      throw error;
    }
  }

  function stillWaits(id: string): boolean {
    return core.store.get(id)?.state === "waiting";
  }

  async function feed(account: string): Promise<void> {
    const isFull = (outgoing.feeds.get(account)?.length ?? 0) >= BATCH_ENTRIES;
    if (!isFull) await sleep(lastFeed > 1 ? BUSY_FEED_DELAY_MS : FEED_DELAY_MS);
    const entries = take(outgoing.feeds, account, BATCH_ENTRIES);
    lastFeed = entries.length;
    try {
      await objectNamed(env.INDEX, account).feed(account, entries);
      outgoing.acknowledgeFeed(entries);
    } catch (error) {
      putBack(outgoing.feeds, account, entries);
      throw error;
    }
  }

  async function stop(session: string): Promise<void> {
    const claims = take(outgoing.stops, session, BATCH_ENTRIES);
    try {
      await objectNamed(env.POOL, session).stop(claims);
    } catch (error) {
      putBack(outgoing.stops, session, claims);
      throw error;
    }
  }

  function note(lane: string, stats: LaneStats, tickets: Record<string, number | null>, gone: readonly string[]): void {
    const view = views.get(lane) ?? { stats, at: 0, tickets: new Map<string, number | null>() };
    views.set(lane, view);
    view.stats = stats;
    view.at = Date.now();
    for (const [id, ticket] of Object.entries(tickets)) view.tickets.set(id, ticket);
    for (const id of gone) view.tickets.delete(id);
  }

  return {
    kick(): void {
      lanes.kick();
      index.kick();
      pools.kick();
      publisher.kick();
      const hasNewWebhooks = outgoing.takeWebhooks();
      if (hasNewWebhooks || webhooks.isPending()) webhooks.kick(hasNewWebhooks);
    },

    /** Whether something is on its way, or should be. */
    isPending(): boolean {
      const areBusy = [lanes, index, pools].some((courier) => courier.isBusy());
      const waits = nonEmpty(outgoing.hands).length > 0 || outgoing.feeds.size > 0;
      return areBusy || waits || webhooks.isPending() || core.ended.isPending();
    },

    /** The place of an unfinished prediction, from what the shard knows of its lane; null while nothing is known. */
    placeOf({ id, lane, priority, status }: PredictionSnapshot): QueuePlace | null {
      if (status !== "starting") return { position: 0, etaMs: 0 };
      const view = views.get(lane);
      if (view === undefined) return { position: outgoing.hands.get(lane)?.size ?? 0, etaMs: null };
      const ticket = view.tickets.get(id);
      return placeOf(ticket === undefined ? view.stats.tails[priority] : ticket, priority, view.stats);
    },

    /** Asks the lane again when what the shard knows is older than `maxAgeMs`. */
    async refreshStats(lane: string, status: Status, maxAgeMs: number): Promise<void> {
      const view = views.get(lane);
      if (status !== "starting" || (view !== undefined && Date.now() - view.at < maxAgeMs)) return;
      if (view !== undefined) view.at = Date.now();
      try {
        const reply = await objectNamed(env.LANE, lane).exchange(lane, { entries: [], withdrawn: [], claimed: [] });
        note(lane, reply.stats, {}, []);
      } catch {
        // The place is a courtesy: an older one is better than an error.
      }
    },

    /** The lease of a session that holds `ids`; the session is told to look whether its pool still does. */
    async leaseOf(session: string, ids: readonly string[]): Promise<Lease> {
      const claims = ids.flatMap((id) => {
        const token = store.get(id)?.token;
        return token === undefined || token === null ? [] : [{ id, token }];
      });
      try {
        return await objectNamed(env.POOL, session).check(claims, core.isPatient());
      } catch (error) {
        // Not to know is not to have lost it: ask again soon.
        return { alive: true, remainingMs: retryDelayMs(LEASE_FAILURES, error) };
      }
    },
  };
}

/** Whether jobs wait in the lane for others to be claimed, or soon will. */
function isBackedUp({ stats }: LaneView): boolean {
  return (
    2 * stats.released > stats.window ||
    stats.tails.high > stats.heads.high ||
    stats.tails.normal > stats.heads.normal ||
    stats.tails.low > stats.heads.low
  );
}

function nonEmpty(hands: Map<string, Map<string, unknown>>): string[] {
  return [...hands].filter(([, entries]) => entries.size > 0).map(([lane]) => lane);
}

/** Takes the first `limit` out. */
function take<T>(map: Map<string, T[]>, key: string, limit: number): T[] {
  const values = map.get(key) ?? [];
  const taken = values.splice(0, limit);
  if (values.length === 0) map.delete(key);
  return taken;
}

function putBack<T>(map: Map<string, T[]>, key: string, values: T[]): void {
  if (values.length > 0) map.set(key, [...values, ...(map.get(key) ?? [])]);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
