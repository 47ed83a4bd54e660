/** Jittered exponential backoff: half of each delay is random, so that a thousand pools don't return as one. */

export type Backoff = {
  /** The delay before the next try, in milliseconds; each call is one more failure. */
  nextMs(): number;
  /** Call it when something worked. */
  reset(): void;
  readonly failures: number;
};

export type BackoffOptions = {
  firstMs: number;
  /** Never more than this. */
  capMs: number;
  random?: () => number;
};

export function createBackoff(options: BackoffOptions): Backoff {
  const random = options.random ?? Math.random;
  let failures = 0;
  return {
    nextMs() {
      const fullMs = Math.min(options.capMs, options.firstMs * 2 ** Math.min(failures, 30));
      failures += 1;
      return fullMs / 2 + (random() * fullMs) / 2;
    },
    reset() {
      failures = 0;
    },
    get failures() {
      return failures;
    },
  };
}
