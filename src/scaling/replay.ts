/**
 * What knobs would cost if the latest predictions came once more, by the simulator itself. A replay begins with what is
 * there now. Begun with nothing, it would have a queue at first, whose machines stay for hours and serve all that
 * follows: knobs that have too few in earnest would look well.
 */
import type { ArrivalsBefore } from "./arrivals-before.ts";
import { BacklogRule } from "./backlog-rule.ts";
import type { Knobs } from "./backlog-rule.ts";
import type { DayProfile } from "./day-profile.ts";
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
const LATE_PENALTY = 1;
const LATE_TASTE = 0.02;
/** A look is a small part of what is aimed at and of a boot. */
const EVERY_SHARE = 0.05;
const MIN_EVERY_S = 1;
const MAX_EVERY_S = 5;
/** Sums of many numbers are rounded. */
const SURELY = 1 - 1e-6;

export type Past = {
  requests: Requests;
  /** Of the same past; null while it is too short. */
  day: DayProfile | null;
  kind: Machines;
  meanWorkS: number;
  /** What arrives before them: they come once more after themselves. */
  before: ArrivalsBefore;
  /** Machines that are there. */
  startWith: number;
  /** Machines that can be of use: `mostUseful`. */
  most: number;
  targetS: number;
  /** Of all predictions so far, those that waited longer. */
  lateShare: number;
};

/**
 * The lower, the better: what is paid, and more where too many are late. Infinity as soon as it can't be below
 * `mustBe`.
 */
export function scoreOf(knobs: Knobs, past: Past, mustBe = Infinity): number {
  const { requests, before, day, kind, meanWorkS, startWith, targetS, most } = past;
  const policy = new BacklogRule(knobs, kind, meanWorkS, day);
  policy.goOn(knobs.windowS > 0 ? before.over(knobs.windowS) : null, requests.atS[0] ?? 0, startWith);
  const everyS = Math.min(MAX_EVERY_S, Math.max(MIN_EVERY_S, EVERY_SHARE * Math.min(targetS, kind.bootS)));
  const isHopeless = (atLeastS: number, late: number): boolean => score(atLeastS * SURELY, late, past) >= mustBe;
  const options = { startWith, most, lateAfterS: targetS, isHopeless, isBrief: true };
  const { machineS, late, isCut } = simulate(requests, kind, { policy, everyS }, options);
  return isCut ? Infinity : score(machineS, late, past);
}

function score(machineS: number, late: number, { requests, lateShare }: Past): number {
  const madeUp = AIMED_SHARE + MAKE_UP * (AIMED_SHARE - lateShare);
  const allowed = Math.min(MAX_SHARE, Math.max(MIN_SHARE, madeUp));
  const share = late / requests.atS.length / allowed;
  const beyond = Math.max(0, share - 1);
  return machineS * (1 + LATE_PENALTY * (beyond + beyond ** 2) + LATE_TASTE * share);
}

/**
 * More than a slot for each prediction that comes while one machine boots and does its work is of no use to any knobs:
 * those that would order without end cost no more to replay than others.
 */
export function mostUseful({ atS, workS }: Requests, { bootS, slots }: Machines): number {
  let longestS = 0;
  for (const oneS of workS) longestS = Math.max(longestS, oneS);
  let most = 0;
  let first = 0;
  for (let last = 0; last < atS.length; last += 1) {
    while ((atS[last] ?? 0) - (atS[first] ?? 0) > bootS + longestS) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return Math.ceil(most / slots);
}
