/** Time, as scheduling sees it: monotonic milliseconds and a timer, injected so that tests own both. */

export type Clock = {
  /** Monotonic milliseconds; only differences mean anything. */
  nowMs(): number;
  /** Calls `run` once after `delayMs`; the returned function takes it back. */
  after(delayMs: number, run: () => void): () => void;
};

/** The host's monotonic clock. A wrong wall clock does not touch it. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
};
