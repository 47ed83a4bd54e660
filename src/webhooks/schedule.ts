/**
 * When a message is tried again. Eleven tries over three days, as Standard Webhooks recommends ("Deliverability and
 * reliability": immediately, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h), with a quick second one for a
 * receiver that just restarts.
 */
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** The delay after the first failure, after the second, and so on. They sum up to 71 h 35 min. */
export const retryDelaysMs = [
  SECOND_MS,
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  20 * HOUR_MS,
] as const;

/**
 * A message that is older than this is given up, tried or not: three days, and the room that jitter and `Retry-After`
 * take.
 */
export const MAX_AGE_MS = 80 * HOUR_MS;

/** The longest wait that a receiver's `Retry-After` is obeyed for. */
export const MAX_RETRY_AFTER_MS = HOUR_MS;

/**
 * An interim message (`start`, `output`, `logs`) that holds `completed` back is tried this often at most: about 36
 * minutes.
 */
export const INTERIM_TRIES_BEFORE_COMPLETED = 5;

const JITTER = 0.1;

/**
 * The delay in milliseconds before the next try of a message that failed `failures` times (from 1), or null when that
 * was the last. `retryAfterMs` is what the receiver asked for; `random` is in [0, 1) and moves the delay by a tenth up
 * or down.
 */
export function nextDelayMs(failures: number, retryAfterMs: number | null, random: number): number | null {
  const delayMs = retryDelaysMs[failures - 1];
  if (delayMs === undefined) return null;
  const jittered = Math.round(delayMs * (1 + JITTER * (2 * random - 1)));
  return Math.max(jittered, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
}

/**
 * Reads `Retry-After` (RFC 9110, 10.2.3: seconds, or an HTTP date) as a duration in milliseconds from `now`; null when
 * it is absent, unreadable or past.
 */
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null) return null;
  const text = value.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * SECOND_MS;
  if (!/[A-Za-z]/.test(text)) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) || at <= now ? null : at - now;
}
