/** Of one priority of a version: how many of all accounts' entries are due before a virtual time, in few points. Pure. */
import type { Curve } from "./types.ts";

const MAX_POINTS = 32;
/** Counts that are told one by one; beyond them each point is a sixth, or what the number of points demands, further. */
const EXACT = 6;
const MIN_GROWTH = 1.17;
const SEARCH_STEPS = 40;
/** Virtual time between two searched points that doesn't matter, in milliseconds. */
const CLOSE_MS = 1e-7;

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
  let low = from;
  for (let count = 1; count < total; count = Math.max(count + 1, count < EXACT ? 0 : Math.floor(count * growth))) {
    low = tagOf(count + 1, flows, low, end);
    curve.push([low, count]);
    if (curve.length === MAX_POINTS - 1) break;
  }
  curve.push([end + CLOSE_MS, total]);
  return curve;
}

/** The smallest virtual time by which `count` entries are due. */
function tagOf(count: number, flows: readonly Due[], from: number, to: number): number {
  let low = from;
  let high = to;
  if (dueBy(low, flows) >= count) return low;
  for (let step = 0; step < SEARCH_STEPS && high - low > CLOSE_MS; step += 1) {
    const middle = (low + high) / 2;
    if (dueBy(middle, flows) >= count) high = middle;
    else low = middle;
  }
  return high;
}

function dueBy(at: number, flows: readonly Due[]): number {
  let count = 0;
  for (const { tag, step, backlog } of flows) {
    if (at < tag) continue;
    count += step <= 0 ? backlog : Math.min(backlog, Math.floor((at - tag) / step) + 1);
  }
  return count;
}
