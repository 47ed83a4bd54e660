/** Time, as scheduling sees it: monotonic milliseconds and a timer, injected so that tests own both. */

export type Clock = {
  /** Monotonic milliseconds; only differences mean anything. */
  nowMs(): number;
  /** Calls `run` once after `delayMs`; the returned function takes it back. */
  after(delayMs: number, run: () => void): () => void;
};
