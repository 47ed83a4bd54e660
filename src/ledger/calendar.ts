/** Days and months of UTC, in milliseconds since the epoch. Pure. */
import type { CalendarPeriod } from "../../plugins/kernel/allowance.ts";

const DAY_MS = 86_400_000;

/** When the period that `now` is in began; 0 of the one that never ends. */
export function startOf(period: CalendarPeriod, now: number): number {
  if (period === "all") return 0;
  if (period === "day") return Math.floor(now / DAY_MS) * DAY_MS;
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** When the period that began at `start` ends; null: never. */
export function endOf(period: CalendarPeriod, start: number): number | null {
  if (period === "all") return null;
  if (period === "day") return start + DAY_MS;
  const date = new Date(start);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}
