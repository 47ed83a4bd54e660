/** The host's clock and timers, as scheduling wants them. */
import type { Clock } from "./scheduling/clock.ts";

/** The host's monotonic clock: a wrong wall clock does not touch it. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};
