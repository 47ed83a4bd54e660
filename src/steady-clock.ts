/**
 * A clock that never goes back. When the machine's clock is set back, this one runs ahead of it by as much from then
 * on. It serves where times are only compared with each other: there a step back would stop all timers for as long as
 * the step is. Times that others tell, such as when a prediction was accepted, come from the machine's clock.
 */

/** A smaller one is no step, and would add up where a clock trembles: this clock stands still meanwhile. */
const LEAST_STEP_MS = 1000;

export function steadyClock(wall: () => number): () => number {
  let last = -Infinity;
  let aheadMs = 0;
  return () => {
    const now = wall() + aheadMs;
    if (last - now >= LEAST_STEP_MS) aheadMs += last - now;
    last = Math.max(last, now);
    return last;
  };
}
