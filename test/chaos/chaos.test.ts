/**
 * Real failures on a real stack, under load. Every scenario prints one line; docs/chaos.md tells what it proves. `CHAOS_PREDICTIONS` sets
 * how many predictions each sends, `-t` chooses scenarios by name.
 */
import { describe, expect, it } from "vitest";
import { lineOf, runScenario } from "./harness/run-scenario.ts";
import { predictionCount } from "./harness/scenario.ts";
import { scenarios } from "./scenarios/all.ts";

const SCENARIO_LIMIT_MS = 180_000;
const PROBLEMS_SHOWN = 8;

describe("chaos", () => {
  for (const scenario of scenarios) {
    it(scenario.name, { timeout: SCENARIO_LIMIT_MS }, async () => {
      const report = await runScenario(scenario, predictionCount);
      console.log(lineOf(scenario, report));
      const { problems, unmet, sent, lost, twice, stuck } = report.ledger;
      for (const line of unmet) console.log(`chaos │ aim unmet │ ${line}`);
      if (problems.length > 0) console.log(report.lastLines.join("\n"));
      expect(problems.slice(0, PROBLEMS_SHOWN)).toEqual([]);
      expect({ sent, lost, twice, stuck }).toEqual({ sent: predictionCount, lost: 0, twice: 0, stuck: 0 });
    });
  }
});
