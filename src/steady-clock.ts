/**
 * A clock that is never set back: by what the machine's is, this one runs ahead of it from then on. Where times are
 * compared with each other alone, a step back would stop all that waits for as long as it was. What others tell times
 * by, such as when a prediction was accepted, is the machine's.
 */

/** What is less is no step, and would add up where a clock trembles: this one stands still meanwhile. */
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
