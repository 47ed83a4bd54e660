import { describe, expect, it } from "vitest";
import { ways } from "./evasions.ts";
import { corpus, countAlarms, countMisses, rulesOfTerms } from "./evasion-run.ts";

const rules = rulesOfTerms(true);

describe("hidden words", () => {
  it("are found: 1 % of 10,000 generated evasions is missed at most, among terms that nothing was tuned for, too", () => {
    const { tuned, heldOut } = countMisses(rules, 10_000, 1);
    expect(tuned.tried + heldOut.tried).toBe(10_000);
    expect(heldOut.tried).toBeGreaterThan(3000);
    expect(tuned.missed.length / tuned.tried).toBeLessThanOrEqual(0.01);
    expect(heldOut.missed.length / heldOut.tried).toBeLessThanOrEqual(0.01);
    // About 1,100 are tried of each way.
    for (const way of ways) {
      const missed = [...tuned.missed, ...heldOut.missed].filter((one) => one.way === way);
      expect(missed.length, way).toBeLessThanOrEqual(20);
    }
  });

  it.each(["speeches.en", "everyday.en", "everyday.zh"] as const)(
    "%s: a false alarm is raised on one clean sentence in a thousand at most",
    (name) => {
      const sentences = corpus(name);
      expect(sentences.length).toBeGreaterThan(2500);
      const alarms = countAlarms(rules, sentences);
      expect(alarms.false.length / sentences.length).toBeLessThanOrEqual(0.001);
      expect(alarms.plain / sentences.length).toBeLessThan(0.01);
    },
  );
});
