/**
 * Real failures on a real stack, under load. Every scenario prints one line; docs/chaos.md tells what it proves.
 * `CHAOS_PREDICTIONS` sets how many predictions each sends, `CHAOS_KILLING_SECONDS` how long processes are killed at
 * random, `-t` chooses scenarios by name.
 */
import { describe, it } from "vitest";
import { expectNothingLost } from "./harness/expect-nothing-lost.ts";
import { scenarios } from "./scenarios/all.ts";

const SCENARIO_LIMIT_MS = 180_000 + Number(process.env["CHAOS_KILLING_SECONDS"] ?? 0) * 1000;

describe("chaos", () => {
  for (const scenario of scenarios) {
    it(scenario.name, { timeout: SCENARIO_LIMIT_MS }, async () => expectNothingLost(scenario));
  }
});
