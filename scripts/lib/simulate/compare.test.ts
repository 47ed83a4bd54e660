/** What the comparison says of outcomes that are known. */
import { expect, it } from "vitest";
import type { CaseResult, Outcome } from "./case.ts";
import { compare, costAt, frontier, mustReach, nearestTo } from "./compare.ts";
import { missedProfile } from "./missed-profile.ts";
import { summary, table } from "./report-text.ts";

const spent = { bootS: 1, workS: 6, idleS: 2, drainS: 0, unusedS: 1, waitsInBootS: 1, waitsElseS: 3 };

function outcome(rule: string, cost: number, p95S: number, isDefault = false): Outcome {
  return { rule, knobs: "", isDefault, cost, p50S: 0, p95S, p99S: 0, most: 1, ms: 0, spent };
}

const ours = [outcome("Edgeplane", 100, 1), outcome("Edgeplane", 60, 10), outcome("Edgeplane", 50, 100)];

function caseOf(rivals: Outcome[], limits: CaseResult["limits"] = [], foreseen: Outcome[] = []): CaseResult {
  const scenario = { name: "s", bootS: 1, slots: 1, billingS: 1, pricePerHour: 1, lossPerHour: 0, seed: 1 };
  const drawn = { everyS: 1, machines: [], waiting: [] };
  const bounds = [{ targetS: 10, cost: 40 }];
  return { trace: "t", model: "m", scenario, requests: 1, rivals, ours, bounds, limits, foreseen, drawn };
}

it("drops what another beats in both", () => {
  expect(frontier([...ours, outcome("Edgeplane", 70, 20)]).map(({ cost }) => cost)).toEqual([100, 60, 50]);
});

it("finds a cost between two points, and none for a wait that was never reached", () => {
  expect(costAt(ours, 10)).toBe(60);
  expect(costAt(ours, 3)).toBeGreaterThan(60);
  expect(costAt(ours, 3)).toBeLessThan(100);
  expect(costAt(ours, 500)).toBe(50);
  expect(costAt(ours, 0.2)).toBeNull();
});

it("counts a default as beaten by a quarter of the cost, or half of the wait", () => {
  const defaults = compare(
    caseOf([outcome("a", 80, 10, true), outcome("b", 62, 21, true), outcome("c", 62, 15, true)]),
  ).defaults;
  expect(defaults.map(({ isMet }) => isMet)).toEqual([true, true, false]);
});

it("says of a default that is missed whether the lower bound leaves room for beating it", () => {
  const rivals = ["a", "b", "c", "d"].map((rule) => outcome(rule, 62, 15, true));
  const limits = [
    { rule: "a", asQuickCost: 46.4, halfWaitCost: 63 },
    { rule: "b", asQuickCost: 46.6, halfWaitCost: 61 },
    { rule: "c", asQuickCost: 46.6, halfWaitCost: 63 },
    { rule: "d", asQuickCost: 46.6, halfWaitCost: null },
  ];
  const compared = compare(caseOf(rivals, limits));
  expect(compared.defaults.map(({ canBeCheaper, canWaitHalf }) => [canBeCheaper, canWaitHalf])).toEqual([
    [true, false],
    [false, true],
    [false, false],
    [false, false],
  ]);
  expect(mustReach({ p95S: 0 }).halfWaitS).toBeLessThan(0);
  const result = caseOf(rivals, limits);
  expect(summary([{ result, comparison: compared }])).toContain(
    "Of the 4 missed, the lower bound rules a quarter less cost out for 3, and half the p95, too, for 2",
  );
  expect(table([{ result, comparison: compared }])).toContain("p95 0.67×, no decision can)");
});

it("says of a default that is missed whether another setting or foresight beats it", () => {
  const rivals = [outcome("a", 62, 15, true), outcome("b", 45, 12), outcome("c", 50, 7, true), outcome("c", 49, 7)];
  const { defaults } = compare(caseOf(rivals, [], [outcome("foresight", 50, 3)]));
  expect(defaults.map(({ tunedBeats, foresightBeats }) => [tunedBeats, foresightBeats])).toEqual([
    [true, true],
    [false, true],
  ]);
});

it("profiles what comes nearest to a default that is missed: the cheapest as quick, else the quickest as cheap", () => {
  const limits = [{ rule: "d", asQuickCost: 99, halfWaitCost: 99 }];
  const foreseen = [outcome("foresight", 43, 40)];
  const rivals = [outcome("a", 62, 15, true), outcome("b", 45, 12), outcome("d", 62, 0.2, true)];
  rivals.push(outcome("e", 44, 90, true), outcome("f", 50, 0.3, true));
  expect(nearestTo({ cost: 120, p95S: 15 }, ours)?.cost).toBe(60);
  expect(nearestTo({ cost: 62, p95S: 0.2 }, ours)?.p95S).toBe(10);
  expect(nearestTo({ cost: 40, p95S: 0.2 }, ours)).toBeNull();
  const result = caseOf(rivals, limits, foreseen);
  const lines = missedProfile([{ result, comparison: compare(result) }]).split("\n");
  const shares = "60 %, 10 %, 20 %, 0 %, 10 %";
  expect(lines.slice(2)).toEqual([
    `| a | 1; 0, 1, 0, 0 | 0.97×, 0.67× | ${shares} | ${shares} | 25 %, 25 % |`,
    `| d | 1; 1, 0, 0, 0 | 0.97×, 33.67× | ${shares} | ${shares} | 25 %, 25 % |`,
    `| e | 1; 0, 0, 1, 0 | 1.36×, 0.11× | ${shares} | ${shares} | 25 %, 25 % |`,
    `| f | 1; 0, 0, 0, 1 | 1.00×, 250.25× | ${shares} | ${shares} | 25 %, 25 % |`,
    `| all | 4; 1, 1, 1, 1 | 1.06×, 5.01× | ${shares} | ${shares} | 25 %, 25 % |`,
  ]);
  const beaten = caseOf([outcome("a", 200, 15, true)]);
  expect(missedProfile([{ result: beaten, comparison: compare(beaten) }])).toBe("");
});

it("compares with tuned knobs at the same wait, and says how much of the gap is closed", () => {
  const { tuned, best, gapClosed } = compare(caseOf([outcome("a", 80, 10), outcome("a", 40, 100)]));
  expect(tuned[0]?.ratios.map(({ ratio }) => ratio)).toEqual([0.75, 1.25]);
  expect(best.ratios).toHaveLength(2);
  expect(gapClosed).toEqual([{ targetS: 10, share: 0.5 }]);
});
