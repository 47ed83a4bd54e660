/** Traces from a seed. */
import { expect, it } from "vitest";
import { syntheticTrace, syntheticTraces } from "./synthetic.ts";

it.each(syntheticTraces)("%s is sorted, small, and the same again", (name) => {
  const models = syntheticTrace(name)?.models ?? [];
  expect(models.length).toBeGreaterThan(0);
  for (const { atS, workS } of models) {
    expect(atS.length).toBeGreaterThan(200);
    expect(atS.length).toBeLessThan(20_000);
    expect([...atS]).toEqual([...atS.toSorted()]);
    expect(workS.every((work) => work > 0)).toBe(true);
  }
  expect(syntheticTrace(name)).toEqual({ name, models });
  expect(syntheticTrace(name, 2)).not.toEqual({ name, models });
});

it("leaves other names to files", () => {
  expect(syntheticTrace("arrivals.csv")).toBeNull();
  expect(syntheticTrace("synthetic:none")).toBeNull();
});
