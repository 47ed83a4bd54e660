/** What other knobs would have cost over the latest predictions, by the simulator itself. */
import { BacklogRule } from "./backlog-rule.ts";
import type { Knobs } from "./backlog-rule.ts";
import type { Machines } from "./policy.ts";
import { simulate } from "./simulation/simulate.ts";
import type { Requests } from "./simulation/simulate.ts";

/** Of all predictions, so many may wait longer than is aimed at; what is aimed for keeps a little clear of it. */
const LATE_SHARE = 0.05;
const AIMED_SHARE = 0.94 * LATE_SHARE;
/** What was late in the long run is made up for, or spent, twice as fast; within these bounds. */
const MAKE_UP = 2;
const MIN_SHARE = 0.4 * LATE_SHARE;
const MAX_SHARE = 4 * LATE_SHARE;
/**
 * Of the cost, for each allowed share that is late beyond the first; and of what is within it, to tell equals apart.
 */
const LATE_PENALTY = 4;
const LATE_TASTE = 0.02;
const EVERY_S = 1;

export type Past = {
  requests: Requests;
  kind: Machines;
  meanWorkS: number;
  /** Machines when the first of them came. */
  startWith: number;
  targetS: number;
  /** Of all predictions so far, those that waited longer. */
  lateShare: number;
};

/** The lower, the better: what is paid, and more where too many are late. */
export function scoreOf(knobs: Knobs, { requests, kind, meanWorkS, startWith, targetS, lateShare }: Past): number {
  const policy = new BacklogRule(knobs, kind, meanWorkS);
  const { waitsS, machineS } = simulate(requests, kind, { policy, everyS: EVERY_S }, { startWith });
  let late = 0;
  for (const waitS of waitsS) if (waitS > targetS) late += 1;
  const madeUp = AIMED_SHARE + MAKE_UP * (AIMED_SHARE - lateShare);
  const allowed = Math.min(MAX_SHARE, Math.max(MIN_SHARE, madeUp));
  const share = late / waitsS.length / allowed;
  return machineS * (1 + LATE_PENALTY * Math.max(0, share - 1) + LATE_TASTE * share);
}
