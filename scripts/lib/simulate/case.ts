/** One case: the requests of one model on one scenario's machines, under every rule and under ours. */
import { SelfTuning } from "../../../src/scaling/self-tuning.ts";
import type { Timed } from "../../../src/scaling/policy.ts";
import { simulate } from "../../../src/scaling/simulation/simulate.ts";
import type { Run } from "../../../src/scaling/simulation/simulate.ts";
import type { Spent } from "../../../src/scaling/simulation/spent.ts";
import { lowerBoundS } from "./bound.ts";
import { rivals } from "./candidates.ts";
import { againstDefault, mustReach } from "./compare.ts";
import { Foresight } from "./rules/foresight.ts";
import { firstMeanWorkS, meanWorkS, peakLoad } from "./trace.ts";
import type { ModelRequests, Scenario, Setting } from "./types.ts";

/** The p95 waits that ours is asked for, in seconds. */
export const TARGETS_S = [
  0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 0.6, 1, 1.6, 2.5, 4, 6, 9, 13, 20, 30, 45, 70, 100, 150, 250, 400, 700, 1200,
];
/** Of plans that know the future: over how long they spread what arrives, and how many square roots of it they add. */
const FORESIGHT_WINDOWS_S = [1, 5, 20, 60, 240, 900];
const FORESIGHT_DEVIATIONS = [-1, -0.5, 0, 0.5, 1, 1.5, 2.5];
/** In boots: who lets one in twenty wait for a machine asks for little more than that. */
const TARGETS_OF_BOOT = [1.02, 1.1];
/** Those for which the lower bound is computed, and the pictures are drawn. */
const BOUND_TARGETS_S = [1, 6, 30, 150, 700];
const DRAWN_TARGET_S = 30;
const EVERY_S = 1;

export type Outcome = {
  rule: string;
  knobs: string;
  isDefault: boolean;
  cost: number;
  p50S: number;
  p95S: number;
  p99S: number;
  most: number;
  ms: number;
  spent: Spent;
};
/** Null: no wait is that short. */
export type Limit = { rule: string; asQuickCost: number; halfWaitCost: number | null };
export type CaseResult = {
  trace: string;
  model: string;
  scenario: Scenario;
  requests: number;
  rivals: Outcome[];
  ours: Outcome[];
  bounds: { targetS: number; cost: number }[];
  /** For each default that ours doesn't beat, what a rule has to pay at least that does. */
  limits: Limit[];
  /** Where ours doesn't beat each default: plans that know the future. */
  foreseen: Outcome[];
  drawn: Run["samples"];
};

export async function runCase(
  trace: string,
  requests: ModelRequests,
  scenario: Scenario,
  rules: readonly string[],
): Promise<CaseResult> {
  const setting: Setting = { scenario, meanWorkS: meanWorkS(requests), peakLoad: peakLoad(requests) };
  const chosen = rivals(setting).filter(({ rule }) => rules.length === 0 || rules.includes(rule));
  const outcomes = chosen.map((candidate) => {
    const { rule, knobs, isDefault } = candidate;
    return { rule, knobs, isDefault, ...measure(requests, scenario, candidate.make(setting)).outcome };
  });
  let drawn: Run["samples"] = { everyS: 0, machines: [], waiting: [] };
  const firstWorkS = firstMeanWorkS(requests);
  const targetsS = [...TARGETS_S, ...TARGETS_OF_BOOT.map((boots) => boots * scenario.bootS)];
  const ours = targetsS.map((targetS) => {
    const { outcome, run } = measure(requests, scenario, {
      policy: new SelfTuning(targetS, scenario, firstWorkS),
      everyS: EVERY_S,
    });
    if (targetS === DRAWN_TARGET_S) drawn = run.samples;
    return { rule: "Edgeplane", knobs: `p95 wait ${targetS} s`, isDefault: true, ...outcome };
  });
  const boundAt = async (waitS: number): Promise<number> =>
    ((await lowerBoundS(requests, scenario, waitS)) / 3600) * scenario.pricePerHour;
  const bounds: CaseResult["bounds"] = [];
  for (const targetS of BOUND_TARGETS_S) bounds.push({ targetS, cost: await boundAt(targetS) });
  const limits: Limit[] = [];
  for (const rival of outcomes) {
    if (!rival.isDefault || againstDefault(rival, ours).isMet) continue;
    const { asQuickS, halfWaitS } = mustReach(rival);
    const halfWaitCost = halfWaitS < 0 ? null : await boundAt(halfWaitS);
    limits.push({ rule: rival.rule, asQuickCost: await boundAt(asQuickS), halfWaitCost });
  }
  return {
    trace,
    model: requests.model,
    scenario,
    requests: requests.atS.length,
    rivals: outcomes,
    ours,
    bounds,
    limits,
    foreseen: limits.length === 0 ? [] : foresee(requests, scenario),
    drawn,
  };
}

function foresee(requests: ModelRequests, scenario: Scenario): Outcome[] {
  return FORESIGHT_WINDOWS_S.flatMap((windowS) =>
    FORESIGHT_DEVIATIONS.map((deviations) => {
      const policy = new Foresight(requests, scenario, windowS, deviations);
      const { outcome } = measure(requests, scenario, { policy, everyS: EVERY_S });
      return { rule: "foresight", knobs: `windowS ${windowS}, deviations ${deviations}`, isDefault: false, ...outcome };
    }),
  );
}

type Measured = Omit<Outcome, "rule" | "knobs" | "isDefault">;

function measure(requests: ModelRequests, scenario: Scenario, timed: Timed): { outcome: Measured; run: Run } {
  const from = performance.now();
  const run = simulate(requests, scenario, timed, { seed: scenario.seed });
  const ms = performance.now() - from;
  const waits = run.waitsS.toSorted();
  const at = (share: number): number => waits[Math.floor(waits.length * share)] ?? 0;
  const cost = (run.machineS / 3600) * scenario.pricePerHour;
  const { spent, mostMachines: most } = run;
  return { outcome: { cost, p50S: at(0.5), p95S: at(0.95), p99S: at(0.99), most, ms, spent }, run };
}
