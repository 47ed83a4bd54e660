/** What a policy has learned, in a form that can be stored: bounded, whatever has happened. */
import type { Knobs } from "./backlog-rule.ts";
import type { Days } from "./day-history.ts";
import type { Machines } from "./policy.ts";

export const MAX_STORED_ARRIVALS = 1000;
export const MAX_STORED_WORKS = 200;
/** Arrivals are stored in tenths of a second. */
const TENTHS = 10;

/** Times are seconds since 1970. `v`: another form of it has another number. */
export type Memory = {
  v: 1;
  targetS: number;
  kind: Machines;
  meanWorkS: number;
  knobs: Knobs;
  /** The latest, in tenths of a second: the first, and how much later each next one came. */
  arrivals: number[];
  works: number[];
  days: Days;
  started: number;
  late: number;
  /** Tunings so far, and arrivals until the next. */
  turn: number;
  untilTuning: number;
};

/** `atS`: sorted. */
export function packed(atS: Float64Array): number[] {
  let before = 0;
  return Array.from(atS.subarray(Math.max(0, atS.length - MAX_STORED_ARRIVALS)), (at) => {
    const tenths = Math.max(before, Math.round(at * TENTHS));
    const step = tenths - before;
    before = tenths;
    return step;
  });
}

/** None is later than `nowS`, though the clock was set back. */
export function unpacked(arrivals: readonly number[], nowS: number): number[] {
  let tenths = 0;
  return arrivals.map((step) => Math.min(nowS, (tenths += step) / TENTHS));
}
