/** A scenario as a test: prints its line, and fails with the first predictions that aren't as they should be. */
import { expect } from "vitest";
import { predictionCount } from "./capacity.ts";
import { lineOf, runScenario } from "./run-scenario.ts";
import type { Scenario } from "./scenario.ts";

const PROBLEMS_SHOWN = 8;

export async function expectNothingLost(scenario: Scenario): Promise<void> {
  const count = Math.ceil((await predictionCount()) * (scenario.share ?? 1));
  const report = await runScenario(scenario, count);
  console.log(lineOf(scenario, report));
  const { problems, unmet, sent, lost, twice, stuck } = report.ledger;
  for (const line of unmet) console.log(`chaos │ aim unmet │ ${line}`);
  const wrong = [...problems, ...report.misused];
  if (wrong.length > 0) console.log(report.lastLines.join("\n"));
  const shown = wrong.slice(0, PROBLEMS_SHOWN);
  expect(shown, shown.join("\n")).toEqual([]);
  expect({ sent, lost, twice, stuck }).toEqual({ sent: count, lost: 0, twice: 0, stuck: 0 });
}
