/**
 * For how long the machine stood still. A shared machine now and then runs nothing for seconds. A test whose point is a
 * time takes these off, so that its limit stays the one that it proves. What this thread computed meanwhile is no
 * stall: parts of the product run in it, and may be what takes so long.
 */
import { threadCpuMs } from "./unit/thread-time.ts";

/** How often this process looks at the clock. */
const TICK_MS = 20;
/** A look that is late by no more than this tells nothing. */
const NORMAL_MS = 10;

export type Stalls = {
  /** Milliseconds for which this process was held up between two times since the epoch. */
  within(fromMs: number, toMs: number): number;
  /** The longest stall so far, in milliseconds. */
  longestMs(): number;
  [Symbol.dispose](): void;
};

/** Watches from now on, until it is disposed of. It keeps no process alive. */
export function watchStalls(): Stalls {
  const stalls: (readonly [fromMs: number, toMs: number])[] = [];
  let [dueAtMs, cpuMs] = [Date.now() + TICK_MS, threadCpuMs()];
  const look = (): void => {
    const [now, ranMs] = [Date.now(), threadCpuMs()];
    const fromMs = dueAtMs + Math.max(0, ranMs - cpuMs - TICK_MS);
    if (now - fromMs > NORMAL_MS) stalls.push([fromMs, now]);
    [dueAtMs, cpuMs] = [now + TICK_MS, ranMs];
  };
  const timer = setInterval(look, TICK_MS);
  timer.unref();
  return {
    within(fromMs, toMs) {
      look();
      return stalls.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(to, toMs) - Math.max(from, fromMs)), 0);
    },
    longestMs() {
      look();
      return Math.max(0, ...stalls.map(([from, to]) => to - from));
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

export type Stopwatch = {
  /** Milliseconds since it was started, without those for which the machine stood still. */
  ms(): number;
  [Symbol.dispose](): void;
};

/** `processes`: how many the time goes through. A busy machine may hold up each of them as long as this one. */
export function startStopwatch(processes = 1): Stopwatch {
  const stalls = watchStalls();
  const startedAt = Date.now();
  return {
    ms() {
      const now = Date.now();
      return now - startedAt - processes * stalls.within(startedAt, now);
    },
    [Symbol.dispose]: () => stalls[Symbol.dispose](),
  };
}
