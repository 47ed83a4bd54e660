/**
 * Faults of a lane, for tests on a local stack: it refuses, hangs, loses and repeats what pools take, or dies between a
 * reservation and its use.
 */
import type { LaneEntry } from "./types.ts";

export type LaneFaults = {
  /** Refuse every call until then, milliseconds since the epoch. */
  refuseUntil?: number;
  /** Answer no call before then. */
  hangUntil?: number;
  /** Lose this share of what pools take, and of what they are told, 0 to 1. */
  dropProbability?: number;
  /** Give each entry that a pool takes this many times. */
  duplicate?: number;
  /** Reserve nothing: all must wait for its turn. */
  reserveNothing?: boolean;
  /** Die right after so many reservations. */
  dieAfterReservations?: number;
};

export function createFaults(die: () => void) {
  let faults: LaneFaults | null = null;
  let struck = 0;

  function isDropped(): boolean {
    return strikes((faults?.dropProbability ?? 0) > Math.random());
  }

  function strikes(does: boolean): boolean {
    if (does) struck += 1;
    return does;
  }

  return {
    /** Answers how often those before have struck; null: there were none since the lane began. */
    set(wanted: LaneFaults): number | null {
      const before = faults === null ? null : struck;
      faults = { ...wanted };
      struck = 0;
      return before;
    },

    /** Answers a call, as far as the faults let it. */
    answer<T>(call: () => T): T | Promise<T> {
      const now = Date.now();
      if (strikes((faults?.refuseUntil ?? 0) > now)) throw new Error("The lane refuses because a test fault says so.");
      const hangsMs = (faults?.hangUntil ?? 0) - now;
      return strikes(hangsMs > 0) ? scheduler.wait(hangsMs).then(call) : call();
    },

    reserves: (): boolean => faults?.reserveNothing !== true,

    /** What a pool gets of the entries that it took. */
    taken(entries: LaneEntry[]): LaneEntry[] {
      const kept = entries.filter(() => !isDropped());
      const times = faults?.duplicate ?? 1;
      if (times > 1) struck += kept.length;
      return Array.from({ length: times }, () => kept).flat();
    },

    /** Whether a message to a pool or a shard leaves; of a lane that hangs none does. */
    leaves: (): boolean => !isDropped() && (faults?.hangUntil ?? 0) <= Date.now(),

    reserved(count: number): void {
      if (faults?.dieAfterReservations === undefined || count === 0) return;
      faults.dieAfterReservations -= count;
      // The answer is on its way before the object ends.
      if (faults.dieAfterReservations <= 0) setTimeout(die, 0);
    },
  };
}
