/** A clock that goes when the test lets time pass. */
import type { Clock } from "../../gpu-pool/scheduling/clock.ts";

export function createHandClock(startMs = 0): { clock: Clock; now: () => number; pass: (ms: number) => void } {
  let now = startMs;
  let timers: { at: number; run: () => void }[] = [];
  return {
    clock: {
      nowMs: () => now,
      after(delayMs, run) {
        const timer = { at: now + delayMs, run };
        timers.push(timer);
        return () => void (timers = timers.filter((one) => one !== timer));
      },
    },
    now: () => now,
    pass(ms) {
      now += ms;
      const due = timers.filter(({ at }) => at <= now);
      timers = timers.filter(({ at }) => at > now);
      for (const { run } of due) run();
    },
  };
}
