/**
 * Whether a version that is tried fails more often than the one that it is to replace. The test is Fisher's exact one:
 * of all failures, how likely is it that chance alone puts so many, or more, among the canary's predictions? It needs
 * no least number of samples, and is as right for three predictions an hour as for a thousand a second.
 *
 * It is asked again and again, so each question gets a share of the error that is allowed. Only a new failure of the
 * canary can bring it nearer to its return, so it is asked once a number of failures at most: with `k` failures the
 * chance has to be below `ERROR / (k (k + 1))`, and all shares add up to `ERROR`. A canary that is as good as its base
 * is returned with that probability over its whole life, however long it is.
 *
 * R. A. Fisher, Statistical Methods for Research Workers, 1934, section 21.02.
 */
import type { ArmCounts, Counts } from "../contract/canary.ts";

/** How likely a canary that is as good as its base is to be returned at all. */
const ERROR = 0.01;
/** One or two failures are nobody's pattern. */
const LEAST_FAILURES = 3;

/** How many failures of either kind the canary had when it was last judged. */
export type Looked = { failed: number; unstarted: number };
export type Fault = keyof Looked;

/** Why the canary goes back: which fault, and how likely chance alone would be. */
export type Finding = { fault: Fault; chance: number };

/** What the counts say; null: nothing against the canary. `looked` is brought up to date. */
export function judge(counts: Counts, looked: Looked): Finding | null {
  for (const fault of ["failed", "unstarted"] as const) {
    const failures = counts.canary[fault];
    if (failures <= looked[fault]) continue;
    looked[fault] = failures;
    if (failures < LEAST_FAILURES) continue;
    const chance = chanceOf(counts.canary, counts.base, fault);
    if (chance < ERROR / (failures * (failures + 1))) return { fault, chance };
  }
  return null;
}

/** How many predictions of an arm could have had the fault. */
export function exposedOf({ ended, unstarted }: ArmCounts, fault: Fault): number {
  return fault === "failed" ? ended : ended + unstarted;
}

function chanceOf(canary: ArmCounts, base: ArmCounts, fault: Fault): number {
  const [tried, usual] = [exposedOf(canary, fault), exposedOf(base, fault)];
  return hypergeometricTail({ tried, all: tried + usual, failed: canary[fault] + base[fault] }, canary[fault]);
}

/** How likely at least `least` of `failed` failures among `all` fall on the `tried`. */
export function hypergeometricTail(
  { tried, all, failed }: { tried: number; all: number; failed: number },
  least: number,
): number {
  const usual = all - tried;
  // Below the mean the first term may be too small for a number: the rest is counted from the other side.
  if (least <= (tried * failed) / all) return 1 - hypergeometricTail({ tried: usual, all, failed }, failed - least + 1);
  const most = Math.min(tried, failed);
  let term = Math.exp(lnChoose(tried, least) + lnChoose(usual, failed - least) - lnChoose(all, failed));
  let sum = term;
  for (let count = least; count < most && term > sum * 1e-12; count += 1) {
    term *= ((tried - count) / (count + 1)) * ((failed - count) / (usual - failed + count + 1));
    sum += term;
  }
  return Math.min(1, sum);
}

function lnChoose(all: number, some: number): number {
  if (some < 0 || some > all) return -Infinity;
  return lnFactorial(all) - lnFactorial(some) - lnFactorial(all - some);
}

/** Stirling's series, whose error is below 1e-10 from 10 on. */
function lnFactorial(value: number): number {
  if (value < 10) {
    let product = 1;
    for (let factor = 2; factor <= value; factor += 1) product *= factor;
    return Math.log(product);
  }
  const inverse = 1 / value;
  const series = inverse / 12 - inverse ** 3 / 360 + inverse ** 5 / 1260 - inverse ** 7 / 1680;
  return value * Math.log(value) - value + 0.5 * Math.log(2 * Math.PI * value) + series;
}
