/** Faults of a lane, for tests on a local stack: it refuses, hangs, loses and repeats what pools take, or dies between a reservation and its use. */
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
  /** Die right after so many reservations. */
  dieAfterReservations?: number;
};

export function createFaults(die: () => void) {
  let faults: LaneFaults = {};

  return {
    set(wanted: LaneFaults): void {
      faults = wanted;
    },

    /** Answers a call, as far as the faults let it. */
    answer<T>(call: () => T): T | Promise<T> {
      const now = Date.now();
      if ((faults.refuseUntil ?? 0) > now) throw new Error("The lane refuses because a test fault says so.");
      const hangsMs = (faults.hangUntil ?? 0) - now;
      return hangsMs > 0 ? scheduler.wait(hangsMs).then(call) : call();
    },

    /** What a pool gets of the entries that it took. */
    taken(entries: LaneEntry[]): LaneEntry[] {
      const kept = entries.filter(() => !isDropped(faults));
      return Array.from({ length: faults.duplicate ?? 1 }, () => kept).flat();
    },

    /** Whether a message to a pool or a shard leaves. */
    leaves: (): boolean => !isDropped(faults),

    reserved(count: number): void {
      if (faults.dieAfterReservations === undefined || count === 0) return;
      faults.dieAfterReservations -= count;
      // The answer is on its way before the object ends.
      if (faults.dieAfterReservations <= 0) setTimeout(die, 0);
    },
  };
}

function isDropped({ dropProbability = 0 }: LaneFaults): boolean {
  return dropProbability > 0 && Math.random() < dropProbability;
}
