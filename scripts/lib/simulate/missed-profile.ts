/**
 * Where cost and wait go in what comes nearest to the defaults that ours doesn't beat: a row for each rule, in
 * Markdown.
 */
import type { Spent } from "../../../src/scaling/simulation/spent.ts";
import type { Outcome } from "./case.ts";
import { geometricMean, nearestTo, relativeWait } from "./compare.ts";
import type { Compared, Missed } from "./report-text.ts";

const VERDICTS = ["ruled out", "beaten in hindsight", "beaten with foresight", "open"] as const;
type Verdict = (typeof VERDICTS)[number];
type Pair = { theirs: Outcome; our: Outcome; verdict: Verdict };

const HEAD = [
  "missed",
  `how many; ${VERDICTS.join(", ")}`,
  "our cost and p95 over its",
  "ours: work, boot, free, drain, unused",
  "its: the same",
  "waits while something boots: ours, its",
];

/** Empty where nothing is missed. */
export function missedProfile(cases: readonly Compared[]): string {
  const pairs = cases.flatMap(pairsOf);
  if (pairs.length === 0) return "";
  const rules = [...new Set(pairs.map(({ theirs }) => theirs.rule))];
  const rows = rules.map((rule) =>
    rowOf(
      rule,
      pairs.filter(({ theirs }) => theirs.rule === rule),
    ),
  );
  return [HEAD, HEAD.map(() => "---"), ...rows, rowOf("all", pairs)]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

function pairsOf({ result: { rivals, ours }, comparison: { defaults } }: Compared): Pair[] {
  return defaults.flatMap((missed) => {
    const theirs = rivals.find(({ rule, isDefault }) => rule === missed.rule && isDefault);
    const our = theirs === undefined ? null : nearestTo(theirs, ours);
    return missed.isMet || theirs === undefined || our === null ? [] : [{ theirs, our, verdict: verdictOn(missed) }];
  });
}

/** Whether a decision can beat it. */
function verdictOn({ tunedBeats, foresightBeats, canBeCheaper, canWaitHalf }: Missed): Verdict {
  if (tunedBeats) return "beaten in hindsight";
  if (foresightBeats) return "beaten with foresight";
  return canBeCheaper === false && canWaitHalf === false ? "ruled out" : "open";
}

function rowOf(name: string, pairs: readonly Pair[]): string[] {
  const counts = VERDICTS.map((one) => pairs.filter(({ verdict }) => verdict === one).length);
  const cost = geometricMean(pairs.map(({ our, theirs }) => our.cost / theirs.cost));
  const wait = geometricMean(pairs.map(({ our, theirs }) => relativeWait(our, theirs)));
  const [ours, theirs] = [pairs.map(({ our }) => our.spent), pairs.map((pair) => pair.theirs.spent)];
  return [
    name,
    `${pairs.length}; ${counts.join(", ")}`,
    `${cost.toFixed(2)}×, ${wait.toFixed(2)}×`,
    sharesOf(ours),
    sharesOf(theirs),
    `${percent(mean(ours.map(waitsInBoot)))}, ${percent(mean(theirs.map(waitsInBoot)))}`,
  ];
}

/** Means of each one's shares, so that a small case counts as much as a large one. */
function sharesOf(spent: readonly Spent[]): string {
  const parts = ["workS", "bootS", "idleS", "drainS", "unusedS"] as const;
  return parts
    .map((part) => percent(mean(spent.map((one) => one[part] / parts.reduce((sum, name) => sum + one[name], 0)))))
    .join(", ");
}

function waitsInBoot({ waitsInBootS, waitsElseS }: Spent): number {
  const all = waitsInBootS + waitsElseS;
  return all === 0 ? 0 : waitsInBootS / all;
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
