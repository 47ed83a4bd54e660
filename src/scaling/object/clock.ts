/**
 * The times that the scaler measures by. An object's clock may jump, and an object that was away has seen nothing. What
 * it waits for gets no older than `MAX_STEP_MS` by one look, so that nobody is judged by a jump; what it forecasts by
 * follows the clock forward, for it may have slept, and begins with its time, so that one life's forecasts can go on in
 * the next; a jump while it is awake it follows once it is believed. Times that are stored, or shown, are of the wall
 * clock, but for those that money is counted by.
 */
import * as z from "zod";

const MAX_STEP_MS = 15_000;
/** What was stored is taken to be this old at most. */
const MAX_AGE_MS = 600_000;
/** While looks come every second, a longer step is a jump; it counts for money once it has stood for an hour. */
const JUMP_MS = 600_000;
const DOUBTED_MS = 3_600_000;

export type ScalerClock = {
  /** Milliseconds of patience: they never go back, and never jump. */
  mono(): number;
  /** Seconds since 1970, for forecasts: they never go back. */
  seconds(): number;
  wall(): number;
  /** When that was, of a stored time, by `mono`. */
  monoOf(wallMs: number): number;
  /**
   * The wall's time, without a jump that is still doubted: what machines cost, and in which month, is counted by it.
   */
  billing(): number;
  /** Whether looks come every second from now on. Without that a long step is sleep. */
  expectLooks(areComing: boolean): void;
  /** The jump that is believed from now on, in milliseconds: `billing` makes it with this call. 0: none. */
  believeJump(): number;
};

/** How far the wall was ahead of what money is counted by, and since when by the wall. */
export const DoubtSchema = z.object({ doubtedMs: z.number(), atMs: z.number() });
type Doubt = z.output<typeof DoubtSchema>;

/** A jump is doubted beyond the object's end: else the next life would count machines for the time that never was. */
type Store = { read(name: "clock"): Doubt | null; write(name: "clock", doubt: Doubt): void };

export function createClock(wall: () => number, store?: Store): ScalerClock {
  let last = wall();
  let mono = 0;
  let forwardMs = last;
  let areLooksComing = false;
  /** How far the wall is ahead of what money is counted by, and since when. */
  let doubtedMs = 0;
  let doubtedMono = 0;
  const stored = store?.read("clock") ?? null;
  if (stored !== null) {
    const sinceMs = last - stored.atMs;
    // Set back far, it was set back in between.
    doubtedMs = settled(stored.doubtedMs + (sinceMs < -JUMP_MS ? sinceMs : 0));
    doubtedMono = -Math.max(0, sinceMs);
  }
  let storedMs = stored?.doubtedMs ?? 0;

  function advance(): void {
    const now = wall();
    const stepMs = now - last;
    mono += Math.min(MAX_STEP_MS, Math.max(0, stepMs));
    last = now;
    if (!areLooksComing || Math.abs(stepMs) <= JUMP_MS) {
      forwardMs += Math.max(0, stepMs);
      return;
    }
    doubtedMs = settled(doubtedMs + stepMs);
    doubtedMono = mono;
  }

  return {
    mono() {
      advance();
      return mono;
    },
    seconds() {
      advance();
      return forwardMs / 1000;
    },
    wall,
    monoOf: (wallMs) => mono - Math.min(MAX_AGE_MS, Math.max(0, wall() - wallMs)),
    billing() {
      advance();
      return last - doubtedMs;
    },
    expectLooks(areComing) {
      advance();
      areLooksComing = areComing;
      if (doubtedMs === storedMs) return;
      storedMs = doubtedMs;
      store?.write("clock", { doubtedMs, atMs: last });
    },
    believeJump() {
      advance();
      if (doubtedMs === 0 || mono - doubtedMono < DOUBTED_MS) return 0;
      const jumpMs = doubtedMs;
      doubtedMs = 0;
      forwardMs += Math.max(0, jumpMs);
      return jumpMs;
    },
  };
}

/** 0: it is back where it was, or about there. */
function settled(doubtedMs: number): number {
  return Math.abs(doubtedMs) <= JUMP_MS ? 0 : doubtedMs;
}
