/** The places that are tried: where each begins, what lies beside it, and what stored knobs come back as. */
import { describe, expect, it } from "vitest";
import { KnobGrid } from "./knob-grid.ts";

const hourly = { bootS: 60, billingS: 3600 };

describe("KnobGrid", () => {
  it.each([
    ["an increment is longer than a boot", 100, hourly, 20],
    ["the target is no longer than a boot", 60, hourly, 0],
    ["an increment is no longer than a boot", 100, { bootS: 60, billingS: 60 }, 0],
  ])("begins by letting a queue be for half of the target beyond a boot: %s", (_, targetS, kind, holdS) => {
    const grid = new KnobGrid(targetS, kind);
    expect(grid.knobs(grid.start).holdS).toBe(holdS);
    const tried = [...grid.neighbours(grid.start), ...grid.elsewhere(0, 30)];
    expect(new Set(tried.map((place) => grid.knobs(place).holdS))).toEqual(new Set([holdS, 0]));
  });

  it("begins with a shorter backlog for a shorter target than it tunes for", () => {
    const startS = (startTargetS: number): number => {
      const grid = new KnobGrid(0.1, hourly, { startTargetS });
      return grid.knobs(grid.start).backlogS;
    };
    expect(startS(0.003)).toBeLessThan(startS(0.1) / 3);
  });

  it("comes back to the knobs that it stored, whether they let a queue be or not", () => {
    const grid = new KnobGrid(100, hourly);
    for (const place of [grid.start, ...grid.neighbours(grid.start)]) {
      const knobs = grid.knobs(place);
      expect(grid.knobs(grid.nearest(knobs))).toEqual(knobs);
    }
  });
});
