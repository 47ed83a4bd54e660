/**
 * The breaker of one account at one receiver's host: what fails again and again is asked by one probe at a time until
 * it answers.
 *
 * ```
 *          10 failures in a row             openUntil passed
 * closed ───────────────────────▶ open ─────────────────────────▶ half-open (one probe in flight)
 *    ▲                             ▲                                 │        │
 *    └──────── any success ────────┼─────────────────────────────────┘        │
 *                                  └──────── the probe failed: twice as long ─┘
 * ```
 *
 * Only what says something of the host counts as a failure (no answer, a time-out, 5xx), never a 4xx of one URL. Each
 * account has its own, since on a host that many share one may have a dead path; what the host's failures mean for all,
 * src/webhooks/turns.ts tells.
 */
export type Breaker = {
  /** Failures since the last success. */
  failures: number;
  /** How often in a row it opened; 0 when closed. */
  openings: number;
  /** While open: when the next probe may go. */
  openUntil: number;
};

/** `go`: send. `probe`: send one, and only if nothing else is in flight. `wait`: nothing before `openUntil`. */
export type Admission = "go" | "probe" | "wait";

export const FAILURES_TO_OPEN = 10;
export const FIRST_OPEN_MS = 5_000;
export const LONGEST_OPEN_MS = 300_000;

export const closedBreaker: Breaker = { failures: 0, openings: 0, openUntil: 0 };

export function admission(breaker: Breaker, now: number): Admission {
  if (breaker.openings === 0) return "go";
  return now < breaker.openUntil ? "wait" : "probe";
}

export function afterSuccess(breaker: Breaker): Breaker {
  return breaker.failures === 0 && breaker.openings === 0 ? breaker : closedBreaker;
}

/**
 * A failure; it opens after `toOpen` in a row. One that was sent before the breaker opened doesn't make it open for
 * longer.
 */
export function afterFailure(breaker: Breaker, now: number, toOpen: number = FAILURES_TO_OPEN): Breaker {
  const failures = breaker.failures + 1;
  const wasOpen = breaker.openings > 0;
  if (wasOpen ? now < breaker.openUntil : failures < toOpen) return { ...breaker, failures };
  const openings = breaker.openings + 1;
  const openMs = Math.min(FIRST_OPEN_MS * 2 ** (openings - 1), LONGEST_OPEN_MS);
  return { failures, openings, openUntil: now + openMs };
}
