/** How long it took until all was well again after something was broken. Pure. */
import type { View } from "./client.ts";

/** A machine that others use stretches a recovery. One that takes longer than its aim by more than this is a fault. */
const BUSY_FACTOR = 4;

/** Times are milliseconds since the epoch. `concerns`: see `Outage`. */
type Broken = { beganAt: number; endedAt: number; concerns?: "running" | "accepted" };
/** For how many milliseconds the machine stood still between two times. */
export type StalledMs = (fromMs: number, toMs: number) => number;
/** `slowness`: 1 for a machine that carries the load that the aims are for, 2 for one that carries half of it. */
export type Machine = { stalledMs: StalledMs; slowness: number };

/**
 * Milliseconds from the outage's end to the next completion, or to the last one of what it concerned, whichever is
 * later; without those for which the machine stood still.
 */
export function recoveryMs(
  { beganAt, endedAt, concerns = "running" }: Broken,
  views: readonly View[],
  stalledMs: StalledMs,
): number {
  let next = Infinity;
  let last = -Infinity;
  for (const view of views) {
    const startedAt = view.started_at === null ? Infinity : Date.parse(view.started_at);
    const completedAt = view.completed_at === null ? Infinity : Date.parse(view.completed_at);
    if (completedAt >= endedAt) next = Math.min(next, completedAt);
    const isConcerned = concerns === "accepted" ? Date.parse(view.created_at) <= endedAt : startedAt <= beganAt;
    if (isConcerned && completedAt > beganAt) last = Math.max(last, completedAt);
  }
  const wellAt = Math.max(endedAt, next === Infinity ? endedAt : next, last);
  return wellAt - endedAt - stalledMs(endedAt, wellAt);
}

/** Whether a recovery took so long that it is a fault; on a slow machine everything takes as many times longer. */
export function isTooLate(tookMs: number, aimMs: number, slowness: number): boolean {
  return tookMs > BUSY_FACTOR * slowness * aimMs;
}
