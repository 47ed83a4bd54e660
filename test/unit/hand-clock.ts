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

/** A clock of which what falls due runs in order, each with the promises that hang on it settled before the next. */
export function createSteppedClock(): { clock: Clock; pass: (ms: number) => Promise<void> } {
  let nowMs = 0;
  let timers: { atMs: number; run: () => void }[] = [];
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    clock: {
      nowMs: () => nowMs,
      after(delayMs, run) {
        const timer = { atMs: nowMs + delayMs, run };
        timers.push(timer);
        return () => void (timers = timers.filter((other) => other !== timer));
      },
    },
    async pass(ms) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const [next] = timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
        if (next === undefined) break;
        timers = timers.filter((other) => other !== next);
        nowMs = next.atMs;
        next.run();
        await settle();
      }
      nowMs = untilMs;
      await settle();
    },
  };
}
