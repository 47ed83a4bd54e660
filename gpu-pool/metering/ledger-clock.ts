/** The pool's monotonic clock for the ledger: in steps, and one time for all that a turn of the event loop tells. */
import type { Clock } from "../scheduling/clock.ts";

/**
 * In steps of a tenth of a millisecond: a batch of thousands ends one member after the other, and what falls into one
 * step is one change of who runs, not thousands.
 */
const STEP_US = 100;

/**
 * A clock that says one time for a whole turn of the event loop. The members of a batch end in one turn: told at one
 * time they are one change of who runs, however long their telling takes.
 */
export function turnClock(clock: Clock): Clock {
  let turnMs: number | null = null;
  return {
    nowMs() {
      if (turnMs !== null) return turnMs;
      setImmediate(() => (turnMs = null));
      return (turnMs = clock.nowMs());
    },
    after: (delayMs, run) => clock.after(delayMs, run),
  };
}

export function nowUs({ nowMs }: Clock): number {
  return Math.floor((nowMs() * 1000) / STEP_US) * STEP_US;
}
