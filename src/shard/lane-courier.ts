/** Carries a shard's news to its lanes: one call in flight a lane, and what happens meanwhile rides in the next. */
import type { PredictionSnapshot, QueuePlace } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import type { LaneEntry, LaneNews, Offer, OfferReply, Reservation } from "../lane/types.ts";
import { modelPath } from "../contract/manifest.ts";
import { objectNamed } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import { steadyClock } from "../steady-clock.ts";
import type { ShardCore } from "./core.ts";
import { createCourier } from "./courier.ts";
import { createLaneViews } from "./lane-views.ts";
import { entryOf, putBack, take } from "./outgoing.ts";
import { flowAccountOf } from "./row.ts";
import { createShortWay } from "./short-way.ts";
import type { Submission } from "./types.ts";
import { within } from "./within.ts";

/** Entries that one call to a lane carries. */
const BATCH_ENTRIES = 500;
/** References that it carries besides. */
const BATCH_REFS = 2000;
/** News that nobody waits for wait for company. */
const PATIENT_NEWS_MS = 100;
/** While many predictions come that have to wait, so do their entries: each call of the lane is synced to disk. */
const CROWD = 4;
const CROWD_GATHER_MS = 10;
/** A lane that doesn't answer by then is told again: while the call lasts, nothing more leaves for it. */
const EXCHANGE_LIMIT_MS = 30_000;
/** How long whoever reads a prediction waits for its place. */
const PLACE_LIMIT_MS = 2000;

export type LaneCourier = ReturnType<typeof createLaneCourier>;

export function createLaneCourier(env: Env, core: ShardCore) {
  const { outgoing } = core;
  const timers = createObjectTimers();
  const now = steadyClock(() => Date.now());
  const views = createLaneViews(now);
  /** Accounts that have as many waiting predictions in a lane as they may, until when that is believed. */
  const full = new Map<string, { limit: number; until: number }>();
  const patientSince = new Map<string, number>();
  /** Entries that a lane's last call carried. */
  const lastOffered = new Map<string, number>();
  const courier = createCourier(lanesWithNews, tellNews);
  const shortWay = createShortWay({
    now,
    ask: (lane, entries) => laneOf(lane).reserve(lane, entries),
    unused(lane, ids) {
      for (const id of ids) outgoing.unuse(lane, id);
      courier.kick();
    },
    after: timers.after,
  });

  function laneOf(lane: string): RemoteLane {
    const stub: unknown = objectNamed(env.LANE, lane);
    return stub as RemoteLane;
  }

  /** Lanes with news that somebody waits for, or that have waited for company long enough. */
  function lanesWithNews(): string[] {
    const patient = new Set([...outgoing.withdrawals.keys(), ...outgoing.granted.keys(), ...outgoing.unused.keys()]);
    const urgent = [...outgoing.hands].filter(([, entries]) => entries.size > 0).map(([lane]) => lane);
    return [...new Set([...urgent, ...outgoing.unread.keys(), ...[...patient].filter((lane) => hasWaited(lane))])];
  }

  function hasWaited(lane: string): boolean {
    const since = patientSince.get(lane);
    if (since !== undefined) return now() - since >= PATIENT_NEWS_MS;
    patientSince.set(lane, now());
    setTimeout(() => courier.kick(), PATIENT_NEWS_MS + 1);
    return false;
  }

  function newsFor(lane: string): LaneNews {
    patientSince.delete(lane);
    if ((outgoing.hands.get(lane)?.size ?? 0) < BATCH_ENTRIES) core.recovery.handOnUnread(lane);
    const entries = [...(outgoing.hands.get(lane)?.values() ?? [])].slice(0, BATCH_ENTRIES);
    for (const { id } of entries) outgoing.hands.get(lane)?.delete(id);
    return {
      entries,
      withdrawn: take(outgoing.withdrawals, lane, BATCH_REFS),
      granted: take(outgoing.granted, lane, BATCH_REFS),
      unused: take(outgoing.unused, lane, BATCH_REFS),
      asked: views.takeWanted(lane),
    };
  }

  async function tellNews(lane: string): Promise<void> {
    const isFull = (outgoing.hands.get(lane)?.size ?? 0) >= BATCH_ENTRIES;
    if (!isFull && (lastOffered.get(lane) ?? 0) > CROWD) await sleep(CROWD_GATHER_MS);
    const news = newsFor(lane);
    lastOffered.set(lane, news.entries.length);
    await exchange(lane, news);
  }

  async function exchange(lane: string, news: LaneNews): Promise<void> {
    try {
      const reply = await within(laneOf(lane).exchange(lane, news), EXCHANGE_LIMIT_MS, timers.after);
      shortWay.wentWell(lane);
      views.note(lane, reply, [...news.withdrawn, ...news.granted]);
      for (const model of views.open(reply.view)) shortWay.hasRoom(lane, model);
      for (const [account, limit] of Object.entries(reply.full)) full.set(account, { limit, until: now() + 2000 });
      for (const [id, error] of Object.entries(reply.failed)) core.granting.failWaiting([id], error);
    } catch (error) {
      keep(lane, news);
      throw error;
    }
  }

  function keep(lane: string, news: LaneNews): void {
    const waiting = outgoing.hands.get(lane) ?? new Map<string, Offer>();
    outgoing.hands.set(lane, waiting);
    for (const entry of news.entries) {
      if (core.store.get(entry.id)?.state !== "waiting") continue;
      // What came back says so until its lane has heard it, also where it was offered once more meanwhile.
      if (entry.isBack === true || !waiting.has(entry.id)) waiting.set(entry.id, entry);
    }
    putBack(outgoing.withdrawals, lane, news.withdrawn);
    putBack(outgoing.granted, lane, news.granted);
    putBack(outgoing.unused, lane, news.unused);
  }

  return {
    kick: () => courier.kick(),
    isPending: () =>
      courier.isBusy() || outgoing.unread.size > 0 || [...outgoing.hands.values()].some((entries) => entries.size > 0),

    /** Tries the short way for each, by id. Never throws. */
    async reserve(submissions: readonly Submission[]): Promise<Map<string, Reservation>> {
      const reservations = new Map<string, Reservation>();
      const tries = Array.from(
        Map.groupBy(submissions, ({ lane }) => lane),
        async ([lane, some]) => {
          const answers = await shortWay.reserve(lane, some.map(entryOfSubmission));
          some.forEach(({ id }, index) => reservations.set(id, answers[index] ?? { outcome: "waits" }));
        },
      );
      await Promise.all(tries);
      return reservations;
    },

    /** How many waiting predictions the account may have, when it has as many; null: it may have more. */
    limitReached(account: string): number | null {
      const known = full.get(account);
      if (known === undefined) return null;
      if (now() < known.until) return known.limit;
      full.delete(account);
      return null;
    },

    placeOf: (prediction: PredictionSnapshot): QueuePlace => views.placeOf(prediction, core.isWaiting(prediction.id)),

    /**
     * Asks the lane again when what the shard knows is older than `maxAgeMs`. The place is a courtesy: an older one is
     * better than an error.
     */
    async refresh(prediction: PredictionSnapshot, maxAgeMs: number): Promise<void> {
      if (prediction.status !== "starting" || !views.wants(prediction, maxAgeMs)) return;
      const asked = views.takeWanted(prediction.lane);
      const entries = views.takeTicketless(prediction.lane).flatMap((id) => {
        const row = core.store.get(id);
        return row?.state === "waiting" ? [entryOf(row)] : [];
      });
      const question = { entries, withdrawn: [], granted: [], unused: [], asked };
      await within(exchange(prediction.lane, question), PLACE_LIMIT_MS, timers.after).catch(() => {});
    },
  };
}

function entryOfSubmission(submission: Submission): LaneEntry {
  const { id, priority, model, cost, weight, startTimeoutMs, traceparent } = submission;
  const createdAt = Date.now();
  return {
    id,
    account: flowAccountOf(submission),
    priority,
    model: modelPath(model),
    version: model.version,
    createdAt,
    weight,
    cost,
    startBy: createdAt + startTimeoutMs,
    traceparent,
  };
}

/** A lane as its shards see it; the platform's own stub type walks through every type of the signatures. */
type RemoteLane = {
  reserve(lane: string, entries: LaneEntry[]): Promise<Reservation[]>;
  exchange(lane: string, news: LaneNews): Promise<OfferReply>;
};

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
