/**
 * Timers of one Durable Object that can be given up and leave nothing behind. Of every timer that `clearTimeout` ends,
 * the runtime keeps 256 bytes for as long as the object lives (measured with workerd 1.20261102): an object that gives
 * up two for each prediction grows by half a megabyte in a thousand. One that fires leaves nothing, so that a few which
 * always fire stand in here for all that may be given up.
 */
import { steadyClock } from "./steady-clock.ts";
import { log, reasonOf } from "./telemetry/log.ts";

/**
 * The runtime's timers are set no further ahead: one that nobody needs any more keeps an idle object in memory no
 * longer than this.
 */
const STEP_MS = 1000;

export type ObjectTimers = ReturnType<typeof createObjectTimers>;

/** Belongs to one object: the runtime's timers can't be shared between objects. */
export function createObjectTimers() {
  type Timer = { dueAt: number; call: () => void };
  const steadyNow = steadyClock(() => Date.now());
  const timers = new Set<Timer>();
  /** When the runtime's timer fires that was set last; those that were set before and fire later do nothing. */
  let armedAt = Infinity;

  function arm(dueAt: number): void {
    const now = steadyNow();
    const at = Math.min(dueAt, now + STEP_MS);
    if (at >= armedAt) return;
    armedAt = at;
    setTimeout(() => fire(at), Math.max(0, at - now));
  }

  function fire(at: number): void {
    if (at !== armedAt) return;
    armedAt = Infinity;
    const now = steadyNow();
    const due: Timer[] = [];
    let nextAt = Infinity;
    for (const timer of timers) {
      if (timer.dueAt <= now) due.push(timer);
      else nextAt = Math.min(nextAt, timer.dueAt);
    }
    if (nextAt < Infinity) arm(nextAt);
    due.sort((a, b) => a.dueAt - b.dueAt);
    for (const timer of due) {
      // An earlier one may have given it up.
      if (!timers.delete(timer)) continue;
      try {
        timer.call();
      } catch (error) {
        log.error("timer_failed", { reason: reasonOf(error) });
      }
    }
  }

  return {
    /** Calls once, `delayMs` from now; the function that it answers gives it up. */
    after(delayMs: number, call: () => void): () => void {
      const timer = { dueAt: steadyNow() + Math.max(0, delayMs), call };
      timers.add(timer);
      arm(timer.dueAt);
      return () => void timers.delete(timer);
    },
  };
}
