/** What shards, pools and readers tell a lane and get from it, over RPC. */
import type { ColdStart } from "../contract/cold-start.ts";
import type { LaneRoom } from "../contract/channel.ts";
import type { PredictionError, Priority } from "../contract/prediction.ts";

/**
 * One waiting prediction, as its shard hands it on. Its place in its account's order is (`createdAt`, `id`): handed on
 * again it keeps it.
 */
export type LaneEntry = {
  id: string;
  /** The fairness key. It stays inside the edge: a job record never carries it. */
  account: string;
  /** The account's share, 1 unless an operator says otherwise. */
  weight: number;
  priority: Priority;
  cost: number;
  /** `owner/name`. */
  model: string;
  version: string;
  createdAt: number;
  startBy: number;
  traceparent: string | null;
};

/**
 * What a shard hands on. `isBack`: it was granted since it was last handed on, and that came to nothing. Only this
 * tells it from an offer that is repeated, where a lane never heard of the grant. `isPaid`: that grant's run was lost,
 * and not for the first time, and stays charged to its account.
 */
export type Offer = LaneEntry & { isBack?: true; isPaid?: true };

/** Names an entry for good: enough to find its row without an index. */
export type EntryRef = Pick<LaneEntry, "id" | "account" | "priority" | "model" | "version" | "createdAt">;

/**
 * The lane's answer to a try at the short way: the session that has room, or why not. `waits`: somebody is ahead, or
 * nobody has room. `failed`: the version can't be set up anywhere, seen within the last minute.
 */
export type Reservation =
  | { outcome: "reserved"; session: string }
  | { outcome: "waits" }
  | { outcome: "failed"; error: PredictionError };

/** What the lane tells of one entry that it took: what its shard needs to tell its place without another call. */
export type Ticket = {
  /**
   * The account's cumulative cost over its weight, of this model and priority, up to this entry: `msPerCost` makes
   * device time of it.
   */
  upTo: number;
  /**
   * How many of the account's own entries of this model and priority were ahead of it when it was first offered, plus
   * all that were served before that.
   */
  ownIndex: number;
};

/**
 * How far an account was served: `ownIndex` and `upTo` of its next entry, the virtual time at which that one is due,
 * and what a unit of cost takes.
 */
export type Served = { ownIndex: number; upTo: number; tag: number; msPerCost: number };

/**
 * Points `[tag, count]`, ascending: so many entries of all accounts are due before the virtual time `tag`. At most 32.
 */
export type Curve = [number, number][];

/** What waits and runs of one version, as far as the shard needs it for places. */
export type ModelView = {
  model: string;
  version: string;
  /** How many sessions serve the version. 0: its places are unknown. */
  sessions: number;
  /** Of each priority: how many wait, and who comes before whom. */
  waiting: Record<Priority, number>;
  curves: Record<Priority, Curve>;
  /** Virtual times of the priorities: which of them is next, and by how much. */
  tags: Record<Priority, number>;
  /**
   * How many get their turn in a second while others wait: measured, or what is in flight over what a run takes; null:
   * nobody knows.
   */
  startsPerSecond: number | null;
  /**
   * How many run or are about to (granted and not ended), and how many start at once as soon as they are handed over.
   */
  inFlight: number;
  room: number;
  /** In how many milliseconds the first cold instance should be ready; 0 when one is, null when nobody knows. */
  readyInMs: number | null;
  /** What a run takes of its device, in milliseconds. */
  runMs: number | null;
  /** While no instance is ready: when one should be, on a machine that is rented for it. */
  coldStart?: ColdStart;
};

/** What a shard remembers of a lane, and how far each asked account was served, by `accountKey`. */
export type LaneView = { models: ModelView[]; served: Record<string, Served> };

/** Names a version of a model. */
export function versionKey({ model, version }: { model: string; version: string }): string {
  return `${model} ${version}`;
}

/** Key of `served`. */
export function accountKey({ account, priority, model, version }: Omit<EntryRef, "id" | "createdAt">): string {
  return `${account} ${priority} ${model} ${version}`;
}

/** `tickets` of what waits here now; `failed`: what can't be set up anywhere. */
export type OfferReply = {
  tickets: Record<string, Ticket>;
  failed: Record<string, PredictionError>;
  /** Accounts that have as many waiting predictions as they may, and how many that is. */
  full: Record<string, number>;
  view: LaneView;
};

/** What a shard tells its lane in one call. */
export type LaneNews = {
  /** To wait here; known ids keep their places. */
  entries: Offer[];
  /** They wait no longer: they ended, or their row went. */
  withdrawn: EntryRef[];
  /** Granted to this session, by whichever way. */
  granted: (EntryRef & { session: string })[];
  /** Reservations that came too late, or for nothing. */
  unused: string[];
  /** Flows whose view the shard wants, besides those of `entries`. */
  asked: Omit<EntryRef, "id" | "createdAt">[];
};

/** A pool session's statement, as its object passes it on. */
export type RoomReport = Omit<LaneRoom, "lane"> & { session: string; n: number; full: boolean };

/** What a lane has to tell others now. */
export type Due = {
  /** What has waited long enough while a session has room for it, by session. */
  pushes: Map<string, LaneEntry[]>;
  /** Sessions that have room for something that waits, and haven't polled since. */
  work: string[];
  /** Sessions whose room isn't known. */
  tell: string[];
  /** What can't be set up anywhere. */
  fail: { entries: LaneEntry[]; error: PredictionError }[];
  /** When there may be more by time alone, milliseconds since the epoch. */
  nextAt: number | null;
};

/** Sizes of a lane, for operators. */
export type LaneStats = { waiting: Record<Priority, number>; sessions: number; inFlight: number };
