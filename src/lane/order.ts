/**
 * Which priority leaves next, and what a place in that order is. Pure.
 *
 * Priorities share a lane by weight: of ten that leave while all wait, six are high, three normal, one low, spread as
 * evenly as can be (smooth weighted round robin, as nginx has it). Within a priority the order is first in, first out;
 * fair shares between tenants replace that order, and nothing else.
 */
import { priorities } from "../contract/prediction.ts";
import type { Priority, QueuePlace } from "../contract/prediction.ts";
import type { LaneStats } from "./types.ts";

export const weights: Readonly<Record<Priority, number>> = { high: 6, normal: 3, low: 1 };

export type Turns = Record<Priority, number>;

export function noTurns(): Turns {
  return { high: 0, normal: 0, low: 0 };
}

/** Picks the priority that leaves next among those that wait, and advances `turns`. Null when nothing waits. */
export function nextPriority(turns: Turns, waiting: Readonly<Record<Priority, number>>): Priority | null {
  let total = 0;
  let best: Priority | null = null;
  for (const priority of priorities) {
    if (waiting[priority] <= 0) {
      turns[priority] = 0;
      continue;
    }
    turns[priority] += weights[priority];
    total += weights[priority];
    if (best === null || turns[priority] > turns[best]) best = priority;
  }
  if (best !== null) turns[best] -= total;
  return best;
}

/**
 * The place of the prediction that holds `ticket` (null: it is in the log already). Those ahead are what is in the log,
 * the earlier tickets of its own priority, and of each other priority what its weight lets pass meanwhile.
 */
export function placeOf(ticket: number | null, priority: Priority, stats: LaneStats): QueuePlace {
  const position = ticket === null ? Math.max(0, stats.released - 1) : aheadOf(ticket, priority, stats);
  return { position, etaMs: etaOf(position, stats) };
}

function aheadOf(ticket: number, priority: Priority, stats: LaneStats): number {
  const own = Math.max(0, ticket - stats.heads[priority]);
  let ahead = stats.released + own;
  for (const other of priorities) {
    if (other === priority) continue;
    const waiting = Math.max(0, stats.tails[other] - stats.heads[other]);
    ahead += Math.min(waiting, Math.floor(((own + 1) * weights[other]) / weights[priority]));
  }
  return ahead;
}

function etaOf(position: number, stats: LaneStats): number | null {
  if (stats.pools === 0 || stats.ratePerSecond === null || stats.ratePerSecond <= 0) return null;
  return Math.round(((position + 1) / stats.ratePerSecond) * 1000);
}
