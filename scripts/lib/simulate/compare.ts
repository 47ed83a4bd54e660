/** How ours stands beside each rule of a case: at its published defaults, and with its knobs tuned in hindsight. */
import type { CaseResult, Limit, Outcome } from "./case.ts";

/** Waits below this are alike to whoever waits. */
const SAME_WAIT_S = 0.1;
/** What counts as beaten: so much of the cost at no higher p95, or of the p95 at no higher cost. */
const CHEAPER = 0.75;
const HALF = 0.5;

export type AgainstDefault = {
  rule: string;
  cost: number;
  p95S: number;
  /** Our cost over its, at no higher p95; null when ours never was so quick. */
  costRatio: number | null;
  /** Our p95 over its, at no higher cost; null when ours never was so cheap. */
  waitRatio: number | null;
  isMet: boolean;
};
/** Whether some setting of some rule, or a plan that knows the future, chosen in hindsight, beats it: then one can. */
type Hindsight = { tunedBeats: boolean; foresightBeats: boolean };
/** What the lower bound leaves room for; null where ours is there. Without both, no decision can beat the default. */
type Room = { canBeCheaper: boolean | null; canWaitHalf: boolean | null };
export type AgainstTuned = {
  rule: string;
  /** Our cost over its, at the same p95, for each of its settings that no other of its settings beats. */
  ratios: { knobs: string; p95S: number; ratio: number }[];
};
export type Comparison = {
  defaults: (AgainstDefault & Room & Hindsight)[];
  tuned: AgainstTuned[];
  /** Against the best setting of any rule. */
  best: AgainstTuned;
  /** Of what lies between the best tuned rule and the lower bound, the share that ours saves. */
  gapClosed: { targetS: number; share: number }[];
};

export function compare({ rivals, ours, bounds, limits, foreseen }: CaseResult): Comparison {
  const curve = frontier(ours);
  const rules = [...new Set(rivals.map(({ rule }) => rule))];
  const best = frontier(rivals);
  return {
    defaults: rivals
      .filter(({ isDefault }) => isDefault)
      .map((rival) => {
        const beside = againstDefault(rival, ours);
        const limit = limits.find(({ rule }) => rule === rival.rule);
        const beatenBy = (others: readonly Outcome[]): boolean => againstDefault(rival, others).isMet;
        return {
          ...{ ...beside, ...roomOf(limit, rival) },
          ...{ tunedBeats: beatenBy(rivals), foresightBeats: beatenBy(foreseen) },
        };
      }),
    tuned: rules.map((rule) => againstTuned(rule, frontier(rivals.filter((rival) => rival.rule === rule)), curve)),
    best: againstTuned("best of all", best, curve),
    gapClosed: bounds.flatMap(({ targetS, cost }) => {
      const [theirs, mine] = [costAt(best, targetS), costAt(curve, targetS)];
      return theirs === null || mine === null || theirs <= cost
        ? []
        : [{ targetS, share: (theirs - mine) / (theirs - cost) }];
    }),
  };
}

/** The longest waits at which a rule still counts as no slower, and as waiting half as long; below zero: none does. */
export function mustReach({ p95S }: Pick<Outcome, "p95S">): { asQuickS: number; halfWaitS: number } {
  return { asQuickS: p95S + SAME_WAIT_S, halfWaitS: HALF * (p95S + SAME_WAIT_S) - SAME_WAIT_S };
}

/** Of two waits; those that are alike count as the same. */
export function relativeWait(our: Pick<Outcome, "p95S">, their: Pick<Outcome, "p95S">): number {
  return (our.p95S + SAME_WAIT_S) / (their.p95S + SAME_WAIT_S);
}

function roomOf(limit: Limit | undefined, { cost }: Outcome): Room {
  if (limit === undefined) return { canBeCheaper: null, canWaitHalf: null };
  const { asQuickCost, halfWaitCost } = limit;
  return { canBeCheaper: asQuickCost <= CHEAPER * cost, canWaitHalf: (halfWaitCost ?? Infinity) <= cost };
}

export function againstDefault({ rule, cost, p95S }: Outcome, ours: readonly Outcome[]): AgainstDefault {
  const quick = ours.filter((our) => our.p95S <= mustReach({ p95S }).asQuickS).map((our) => our.cost / cost);
  const cheap = ours.filter((our) => our.cost <= cost).map((our) => relativeWait(our, { p95S }));
  const costRatio = quick.length === 0 ? null : Math.min(...quick);
  const waitRatio = cheap.length === 0 ? null : Math.min(...cheap);
  return { rule, cost, p95S, costRatio, waitRatio, isMet: (costRatio ?? 1) <= CHEAPER || (waitRatio ?? 1) <= HALF };
}

/** Of ours, what comes nearest to beating it: the cheapest that is as quick; else the quickest that is as cheap. */
export function nearestTo({ cost, p95S }: Pick<Outcome, "cost" | "p95S">, ours: readonly Outcome[]): Outcome | null {
  const quick = ours.filter((our) => our.p95S <= mustReach({ p95S }).asQuickS).toSorted((a, b) => a.cost - b.cost);
  const cheap = ours.filter((our) => our.cost <= cost).toSorted((a, b) => a.p95S - b.p95S);
  return quick[0] ?? cheap[0] ?? null;
}

function againstTuned(rule: string, theirs: readonly Outcome[], ours: readonly Outcome[]): AgainstTuned {
  return {
    rule,
    ratios: theirs.flatMap(({ knobs, p95S, cost }) => {
      const mine = costAt(ours, p95S);
      return mine === null ? [] : [{ knobs, p95S, ratio: mine / cost }];
    }),
  };
}

/** Those that no other beats in both, from the quickest to the cheapest. */
export function frontier(outcomes: readonly Outcome[]): Outcome[] {
  let cheapest = Infinity;
  return outcomes
    .toSorted((a, b) => a.p95S - b.p95S || a.cost - b.cost)
    .filter(({ cost }) => {
      if (cost >= cheapest) return false;
      cheapest = cost;
      return true;
    });
}

/** Between two points of a frontier, along the logarithm of the wait; null below its quickest. */
export function costAt(points: readonly Outcome[], p95S: number): number | null {
  const after = points.findIndex((point) => point.p95S > p95S + SAME_WAIT_S);
  const below = points[after === -1 ? points.length - 1 : after - 1];
  if (below === undefined) return null;
  const above = after === -1 ? undefined : points[after];
  if (above === undefined || p95S <= below.p95S) return below.cost;
  const [from, to, at] = [below.p95S, above.p95S, p95S].map((waitS) => Math.log(waitS + SAME_WAIT_S));
  if (from === undefined || to === undefined || at === undefined) return below.cost;
  return below.cost + ((above.cost - below.cost) * (at - from)) / (to - from);
}

export function geometricMean(numbers: readonly number[]): number {
  return Math.exp(numbers.reduce((sum, number) => sum + Math.log(number), 0) / numbers.length);
}
