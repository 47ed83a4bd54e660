/** The comparison as a table for terminals and documents (Markdown). */
import type { CaseResult } from "./case.ts";
import { geometricMean } from "./compare.ts";
import type { AgainstTuned, Comparison } from "./compare.ts";

const MAX_DEARER = 1.05;

export type Missed = Comparison["defaults"][number];
export type Compared = { result: CaseResult; comparison: Comparison };

export function nameOf({ trace, model, scenario }: CaseResult): string {
  return `${trace}, ${model}: ${scenario.name}`;
}

export function table(cases: readonly Compared[]): string {
  const head = [
    "case",
    "beside each rule's defaults",
    "beside each rule tuned: worst",
    "beside the best of all tuned: mean, worst",
    "gap closed",
  ];
  const rows = cases.map(({ result, comparison }) => [
    nameOf(result),
    defaultsCell(comparison),
    worstCell(comparison.tuned),
    bestCell(comparison.best),
    comparison.gapClosed.map(({ targetS, share }) => `${targetS} s: ${percent(share)}`).join(", "),
  ]);
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export function summary(cases: readonly Compared[]): string {
  const defaults = cases.flatMap(({ comparison }) => comparison.defaults);
  const tuned = cases.flatMap(({ comparison }) => comparison.tuned.flatMap(({ ratios }) => ratios));
  const best = cases.flatMap(({ comparison }) => comparison.best.ratios.map(({ ratio }) => ratio));
  const missed = defaults.filter(({ isMet }) => !isMet);
  const dear = missed.filter(({ canBeCheaper }) => canBeCheaper === false);
  const gaps = cases
    .flatMap(({ comparison }) => comparison.gapClosed.map(({ share }) => share))
    .toSorted((a, b) => a - b);
  const dearer = tuned.filter(({ ratio }) => ratio > MAX_DEARER);
  if (best.length === 0) return "Nothing was compared: no rule reached a p95 wait that ours reached, too.";
  return [
    `Published defaults: ${defaults.length - missed.length} of ${defaults.length} beaten (25 % cheaper at no higher p95, or half the p95 at no higher cost).`,
    `Of the ${missed.length} missed, the lower bound rules a quarter less cost out for ${dear.length}, and half the p95, too, for ${missed.filter(isImpossible).length}: no decision can beat those.`,
    `Tuned in hindsight: at ${tuned.length - dearer.length} of ${tuned.length} settings no more than 5 % dearer at the same p95; at worst ${ratio(Math.max(...tuned.map((one) => one.ratio)))}.`,
    `Beside the best of all tuned: ${ratio(geometricMean(best))} in geometric mean over ${best.length} settings.`,
    ...(gaps.length === 0
      ? []
      : [
          `Of the gap between the best tuned rule and the lower bound, ours closes ${percent(median(gaps))} in the median of ${gaps.length}.`,
        ]),
  ].join("\n");
}

function defaultsCell({ defaults }: Comparison): string {
  const missed = defaults.filter(({ isMet }) => !isMet);
  const said = missed.map(
    ({ rule, costRatio, waitRatio, ...room }) =>
      `${rule} (cost ${ratio(costRatio)}, p95 ${ratio(waitRatio)}${isImpossible(room) ? ", no decision can" : ""})`,
  );
  return `${defaults.length - missed.length} of ${defaults.length} beaten${said.length === 0 ? "" : `; not: ${said.join(", ")}`}`;
}

function worstCell(tuned: readonly AgainstTuned[]): string {
  const all = tuned.flatMap(({ rule, ratios }) => ratios.map((one) => ({ rule, ...one })));
  const worst = all.toSorted((a, b) => b.ratio - a.ratio)[0];
  return worst === undefined
    ? "none"
    : `${ratio(worst.ratio)} (${worst.rule}, ${worst.knobs}, p95 ${worst.p95S.toFixed(1)} s)`;
}

function bestCell({ ratios }: AgainstTuned): string {
  if (ratios.length === 0) return "none";
  const numbers = ratios.map((one) => one.ratio);
  return `${ratio(geometricMean(numbers))}, ${ratio(Math.max(...numbers))}`;
}

function isImpossible({ canBeCheaper, canWaitHalf }: Pick<Missed, "canBeCheaper" | "canWaitHalf">): boolean {
  return canBeCheaper === false && canWaitHalf === false;
}

/** Of sorted numbers, at least one. */
function median(numbers: readonly number[]): number {
  return numbers[Math.floor(numbers.length / 2)] ?? 0;
}

function ratio(number: number | null): string {
  return number === null ? "–" : `${number.toFixed(2)}×`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
