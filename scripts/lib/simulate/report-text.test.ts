/** The summary in words. */
import { expect, it } from "vitest";
import type { CaseResult } from "./case.ts";
import { compare } from "./compare.ts";
import { summary } from "./report-text.ts";

it("says so where nothing can be compared", () => {
  const scenario = { name: "s", bootS: 1, slots: 1, billingS: 1, pricePerHour: 1, lossPerHour: 0, seed: 1 };
  const drawn = { everyS: 1, machines: [], waiting: [] };
  const result: CaseResult = {
    trace: "t",
    model: "m",
    scenario,
    requests: 1,
    rivals: [],
    ours: [],
    bounds: [],
    limits: [],
    foreseen: [],
    drawn,
  };
  const said = summary([{ result, comparison: compare(result) }]);
  expect(said).toContain("Nothing was compared");
  expect(said).not.toContain("NaN");
});
