/**
 * What must leave a shard, by receiver. Kept in memory: everything in it but the counts of canaries can be found again
 * in the stored rows, so that a lost object loses time and nothing else.
 */
import { createFairShare } from "../../plugins/kernel/fair-share.ts";
import type { ClaimRef } from "../contract/channel.ts";
import { modelPath } from "../contract/manifest.ts";
import type { Grant } from "../contract/claim.ts";
import type { EntryRef, LaneEntry, Offer } from "../lane/types.ts";
import { createCanaryTally } from "./canary-tally.ts";
import { flowAccountOf } from "./row.ts";
import type { Outline } from "./row.ts";
import type { DuePlace } from "./store.ts";

/** An entry of the account's index: a prediction's place, and what lists are narrowed by. `model` is `owner/name`. */
export type FeedEntry = {
  id: string;
  createdAt: number;
  model: string;
  version: string;
  deployment: string | null;
  source: string;
};

/**
 * Waiting predictions that are kept to be handed to one lane. The others are in the rows, and are read when these have
 * left.
 */
export const MAX_HANDS = 2000;
/**
 * Of each kind of news that is kept for a lane that is away. What is not told is found out, as after a restart: the
 * lane offers what it still has, and is told then.
 */
export const MAX_NEWS = 50_000;
/** Acknowledged entries whose rows don't say so yet. */
const MAX_FED = 2000;
/**
 * Entries that are kept for the indexes until they have them: of all accounts about, and of one whose index is away.
 * The others are in the rows, and are looked for when these have left.
 */
export const FEED_SHARES = { total: 20_000, perHolder: 5000 } as const;

export type Outgoing = ReturnType<typeof createOutgoing>;

export function createOutgoing() {
  const hands = new Map<string, Map<string, Offer>>();
  const unread = new Map<string, DuePlace>();
  const withdrawals = new Map<string, EntryRef[]>();
  const granted = new Map<string, (EntryRef & { session: string })[]>();
  const unused = new Map<string, string[]>();
  const grants = new Map<string, Grant[]>();
  const feeds = new Map<string, FeedEntry[]>();
  const stops = new Map<string, ClaimRef[]>();
  const fed = new Set<string>();
  /** The predictions that the index has not acknowledged: whose they are, and when they were created. */
  const unacknowledged = new Map<string, { account: string; createdAt: number }>();
  const feedShares = createFairShare(FEED_SHARES);
  const unkept = new Map<string, number>();
  let webhooks = false;
  let stale = 0;

  return {
    /** Waiting predictions to hand on, by lane and id. */
    hands,
    /** Where the rows begin that are to be handed on and are not in `hands`, by lane. */
    unread,
    /** What waits no longer, by lane. */
    withdrawals,
    /** What was granted, by lane: it waits there no longer. */
    granted,
    /** Reservations that nobody took, by lane. */
    unused,
    /** Grants to hand to their pools, by pool session. */
    grants,
    /** New predictions for the index, by account. */
    feeds,
    /** Accounts that have predictions which are not in `feeds` for want of room: when the first was created. */
    unkept,
    /** Claims to stop, by pool session. */
    stops,
    /** What became of canaries' predictions. */
    canaries: createCanaryTally(),

    /** `back`: it was granted, and that came to nothing. */
    hand(row: Outline, back?: { isPaid?: true }): void {
      const lane = hands.get(row.fixed.lane) ?? new Map<string, Offer>();
      hands.set(row.fixed.lane, lane);
      const before = lane.get(row.id);
      const offer: Offer = entryOf(row);
      if (back !== undefined || before?.isBack === true) offer.isBack = true;
      if (back?.isPaid === true || before?.isPaid === true) offer.isPaid = true;
      if (lane.size < MAX_HANDS || lane.has(row.id)) lane.set(row.id, offer);
      else if ((row.wakeAt ?? 0) <= (unread.get(row.fixed.lane)?.wakeAt ?? Infinity))
        unread.set(row.fixed.lane, { wakeAt: row.wakeAt ?? 0, id: "" });
    },

    withdraw(row: Outline): void {
      hands.get(row.fixed.lane)?.delete(row.id);
      push(withdrawals, row.fixed.lane, refOf(row), MAX_NEWS);
    },

    noteGranted(row: Outline, session: string): void {
      hands.get(row.fixed.lane)?.delete(row.id);
      push(granted, row.fixed.lane, { ...refOf(row), session }, MAX_NEWS);
    },

    grant(session: string, grant: Grant): void {
      push(grants, session, grant);
    },

    unuse(lane: string, id: string): void {
      push(unused, lane, id, MAX_NEWS);
    },

    feed(row: Outline): void {
      const { id, accountId, createdAt } = row;
      if (!unacknowledged.has(id)) {
        if (feedShares.refusal(accountId, 1) !== null) {
          unkept.set(accountId, Math.min(unkept.get(accountId) ?? createdAt, createdAt));
          return;
        }
        feedShares.change(accountId, 1);
        unacknowledged.set(id, { account: accountId, createdAt });
      }
      const { model, deployment, source } = row.fixed;
      push(feeds, accountId, {
        id,
        createdAt,
        model: modelPath(model),
        version: model.version,
        deployment,
        source,
      });
    },

    /** The index has these; the rows say so at their next write. */
    acknowledgeFeed(entries: readonly FeedEntry[]): void {
      for (const { id } of entries) {
        const known = unacknowledged.get(id);
        if (known !== undefined) feedShares.change(known.account, -1);
        unacknowledged.delete(id);
        fed.add(id);
      }
      // What finished before it was acknowledged is never asked for: the oldest make room.
      for (const id of fed) {
        if (fed.size <= MAX_FED) break;
        fed.delete(id);
      }
    },

    /** When the oldest prediction was created that the index may not have; null: it has all. */
    unfedSince(): number | null {
      let oldest: number | null = null;
      for (const { createdAt } of unacknowledged.values()) oldest = Math.min(oldest ?? createdAt, createdAt);
      for (const since of unkept.values()) oldest = Math.min(oldest ?? since, since);
      return oldest;
    },

    /** Whether so many more of the account may be kept for its index. */
    mayFeed: (account: string, entries: number): boolean => feedShares.refusal(account, entries) === null,

    isFed(id: string): boolean {
      return fed.delete(id);
    },

    stop(session: string, claim: ClaimRef): void {
      push(stops, session, claim);
    },

    webhooksWait(): void {
      webhooks = true;
    },

    /** Whether webhooks were stored since the last call. */
    takeWebhooks(): boolean {
      const were = webhooks;
      webhooks = false;
      return were;
    },

    /** Events of claims that are not the latest change nothing and are counted. */
    countStale(): void {
      stale += 1;
    },

    staleEvents(): number {
      return stale;
    },
  };
}

/** What the lane needs to know of a prediction that waits. */
export function entryOf(row: Outline): LaneEntry {
  const { fixed } = row;
  return {
    ...refOf(row),
    weight: fixed.weight,
    cost: fixed.cost,
    startBy: row.startBy,
    traceparent: fixed.traceparent,
  };
}

export function refOf({ id, accountId, createdAt, fixed }: Outline): EntryRef {
  const { priority, model, question } = fixed;
  return {
    id,
    account: flowAccountOf({ accountId, question }),
    priority,
    model: modelPath(model),
    version: model.version,
    createdAt,
  };
}

function push<T>(map: Map<string, T[]>, key: string, value: T, most = Infinity): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else if (list.length < most) list.push(value);
}

/** Takes the first `limit` out. */
export function take<T>(map: Map<string, T[]>, key: string, limit: number): T[] {
  const values = map.get(key) ?? [];
  const taken = values.splice(0, limit);
  if (values.length === 0) map.delete(key);
  return taken;
}

export function putBack<T>(map: Map<string, T[]>, key: string, values: T[]): void {
  if (values.length > 0) map.set(key, [...values, ...(map.get(key) ?? [])]);
}
