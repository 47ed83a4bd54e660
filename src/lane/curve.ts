/**
 * Of one priority of a version: how many of all accounts' entries are due before a virtual time, in few points. Pure.
 */
import type { Curve } from "./types.ts";

const MAX_POINTS = 32;
/**
 * Counts that are told one by one; beyond them each point is a sixth, or what the number of points demands, further.
 */
const EXACT = 6;
const MIN_GROWTH = 1.17;
/** How far beyond its aim a point may lie: it tells its own count. */
const TOLERANCE = 0.05;
const SEARCH_STEPS = 40;
/** Set after the last entry, in milliseconds of virtual time. */
const AFTER_MS = 1e-7;

/** A flow as the curve sees it: its next entry is due at `tag`, the others each `step` later. */
export type Due = { tag: number; step: number; backlog: number };

export function curveOf(flows: readonly Due[]): Curve {
  let total = 0;
  let from = Infinity;
  let end = 0;
  for (const { tag, step, backlog } of flows) {
    total += backlog;
    from = Math.min(from, tag);
    end = Math.max(end, tag + (backlog - 1) * step);
  }
  if (total === 0) return [];
  const growth = Math.max(MIN_GROWTH, (total / EXACT) ** (1 / (MAX_POINTS - EXACT - 2)));
  const curve: Curve = [[from, 0]];
  let [low, count] = [from, 0];
  while (curve.length < MAX_POINTS - 1) {
    const aim = Math.max(count + 1, count < EXACT ? 0 : Math.floor(count * growth));
    if (aim >= total) break;
    [low, count] = pointAt(aim, flows, low, end + AFTER_MS);
    if (count >= total) break;
    curve.push([low, count]);
  }
  curve.push([end + AFTER_MS, total]);
  return curve;
}

/** A virtual time before which `aim` entries, or hardly more, are due. */
function pointAt(aim: number, flows: readonly Due[], from: number, to: number): [number, number] {
  let low = from;
  let high = to;
  let count = Infinity;
  for (let step = 0; step < SEARCH_STEPS && count > aim * (1 + TOLERANCE); step += 1) {
    const middle = (low + high) / 2;
    const before = dueBefore(middle, flows);
    if (before < aim) low = middle;
    else {
      high = middle;
      count = before;
    }
  }
  return [high, count === Infinity ? dueBefore(high, flows) : count];
}

function dueBefore(at: number, flows: readonly Due[]): number {
  let count = 0;
  for (const { tag, step, backlog } of flows) {
    if (at <= tag) continue;
    count += step <= 0 ? backlog : Math.min(backlog, Math.ceil((at - tag) / step));
  }
  return count;
}
