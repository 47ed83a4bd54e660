/**
 * The short way: before a prediction is stored, its lane is asked once for a pool that has room. Acceptance doesn't
 * depend on it: who has no answer in time is stored as waiting. A lane that is slow or away is left alone for a while,
 * and so is a version without room.
 */
import { versionKey } from "../lane/types.ts";
import type { LaneEntry, Reservation } from "../lane/types.ts";

/** How long acceptance waits for the lane. */
const PATIENCE_MS = 10;
/** A lane that was late is asked again after this; twice as long each time that it is late again. */
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 60_000;
/** Questions that a lane may have before it has answered. */
const MAX_PENDING = 8;
/** A version that had no room is not asked for again for so long, unless the lane says meanwhile that it has. */
const NO_ROOM_MS = 1000;

const waits: Reservation = { outcome: "waits" };

type Standing = { pausedUntil: number; pauseMs: number; pending: number; full: Map<string, number> };

export type ShortWayDeps = {
  now(): number;
  ask(lane: string, entries: LaneEntry[]): Promise<Reservation[]>;
  /** Reservations that came too late. */
  unused(lane: string, ids: string[]): void;
  /** Calls once, later; the function that it answers gives it up. */
  after(delayMs: number, call: () => void): () => void;
};

export type ShortWay = ReturnType<typeof createShortWay>;

export function createShortWay(deps: ShortWayDeps) {
  const lanes = new Map<string, Standing>();

  function standingOf(lane: string): Standing {
    const known = lanes.get(lane);
    if (known !== undefined) return known;
    const fresh = { pausedUntil: 0, pauseMs: FIRST_PAUSE_MS, pending: 0, full: new Map<string, number>() };
    lanes.set(lane, fresh);
    return fresh;
  }

  function mayAsk(standing: Standing, entry: LaneEntry): boolean {
    const fullSince = standing.full.get(versionKey(entry)) ?? -Infinity;
    return deps.now() >= standing.pausedUntil && standing.pending < MAX_PENDING && deps.now() - fullSince >= NO_ROOM_MS;
  }

  function late(standing: Standing): void {
    standing.pausedUntil = deps.now() + standing.pauseMs;
    standing.pauseMs = Math.min(MAX_PAUSE_MS, standing.pauseMs * 2);
  }

  function noteAnswer(standing: Standing, entries: readonly LaneEntry[], answers: readonly Reservation[]): void {
    entries.forEach((entry, index) => {
      if (answers[index]?.outcome === "waits") standing.full.set(versionKey(entry), deps.now());
      else standing.full.delete(versionKey(entry));
    });
  }

  return {
    /** The lane answered something else: it is well. */
    wentWell(lane: string): void {
      const standing = standingOf(lane);
      standing.pausedUntil = 0;
      standing.pauseMs = FIRST_PAUSE_MS;
    },

    /** The lane has room for a version, and nobody waits for it. */
    hasRoom(lane: string, version: { model: string; version: string }): void {
      standingOf(lane).full.delete(versionKey(version));
    },

    /** In the order of the entries, within `PATIENCE_MS`. Never throws. */
    async reserve(lane: string, entries: readonly LaneEntry[]): Promise<Reservation[]> {
      const standing = standingOf(lane);
      const asked = entries.filter((entry) => mayAsk(standing, entry));
      if (asked.length === 0) return entries.map(() => waits);
      standing.pending += 1;
      let isOver = false;
      const answered = deps.ask(lane, asked).then(
        (answers) => {
          if (!isOver) return answers;
          const reserved = asked.filter((_, index) => answers[index]?.outcome === "reserved");
          deps.unused(
            lane,
            reserved.map(({ id }) => id),
          );
          return null;
        },
        () => null,
      );
      const { promise: patience, resolve: giveUp } = Promise.withResolvers<null>();
      const endPatience = deps.after(PATIENCE_MS, () => giveUp(null));
      void answered.finally(() => {
        standing.pending -= 1;
      });
      const answers = await Promise.race([answered, patience]);
      endPatience();
      isOver = true;
      if (answers === null) late(standing);
      else noteAnswer(standing, asked, answers);
      const byId = new Map(asked.map(({ id }, index) => [id, answers?.[index] ?? waits]));
      return entries.map(({ id }) => byId.get(id) ?? waits);
    },
  };
}
