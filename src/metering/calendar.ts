/** Hours, days and months of UTC, in milliseconds since the epoch. */
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** How long sums by hour are kept. */
const HOURS_KEPT_MS = 40 * DAY_MS;
/** Months that sums by day, and raw records, are kept beside the one that is open. */
const MONTHS_KEPT = 13;
/** A month is closed so long after its end: its sums never change again. */
const CLOSES_AFTER_MS = 24 * HOUR_MS;

export function hourOf(at: number): number {
  return at - (at % HOUR_MS);
}

export function dayOf(at: number): number {
  return at - (at % DAY_MS);
}

/** The begin of the month that is `months` later than that of `at`. */
export function monthStart(at: number, months = 0): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1);
}

/** Such as `2026-11`. */
export function monthName(at: number): string {
  return new Date(at).toISOString().slice(0, 7);
}

/** Whether the month of `at` is closed at `now`. */
export function isClosed(at: number, now: number): boolean {
  return now >= monthStart(at, 1) + CLOSES_AFTER_MS;
}

/** What ended before is no longer kept. */
export function keptFrom(now: number): { hours: number; days: number } {
  return { hours: hourOf(now - HOURS_KEPT_MS), days: monthStart(now, -MONTHS_KEPT) };
}
