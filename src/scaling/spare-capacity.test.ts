/** Work that can wait, machines that can be lost, and money that ends. */
import { describe, expect, it } from "vitest";
import { machinesAtDeadline, slackS } from "./patience.ts";
import { affordable } from "./spending.ts";
import { nextZone, sparesFor, spotPlan } from "./spot.ts";

describe("patient work", () => {
  const work = { workS: 800, untilDeadlineS: 3600, slots: 1, bootS: 60, spareMachines: 0 };

  it("rents nothing while there is slack, and then what finishes in time", () => {
    expect(machinesAtDeadline(work)).toBe(0);
    expect(slackS(work)).toBe(3600 - 60 - 1000);
    expect(machinesAtDeadline({ ...work, untilDeadlineS: 1060 })).toBe(1);
    expect(machinesAtDeadline({ ...work, untilDeadlineS: 560 })).toBe(2);
  });

  it("rents nothing for what spare time does until then", () => {
    expect(machinesAtDeadline({ ...work, untilDeadlineS: 1060, spareMachines: 1 })).toBe(0);
    expect(slackS({ ...work, spareMachines: 1 })).toBe(Infinity);
  });

  it("is done within another boot when it is late already", () => {
    expect(machinesAtDeadline({ ...work, untilDeadlineS: -100 })).toBe(17);
  });
});

describe("spot machines", () => {
  const market = { lossPerHour: 0.2, bootS: 120, spotPrice: 1, onDemandPrice: 3 };

  it("has more spares where more is lost while one boots", () => {
    expect(sparesFor(10, { ...market, lossPerHour: 0 })).toBe(0);
    expect(sparesFor(10, market)).toBe(1);
    expect(sparesFor(10, { ...market, lossPerHour: 3 })).toBeGreaterThan(2);
  });

  it("rents on demand for as many as don't serve yet, and throughout where spares make spot dear", () => {
    expect(spotPlan(10, 4, market)).toEqual({ spot: 11, onDemand: 6 });
    expect(spotPlan(10, 11, market)).toEqual({ spot: 11, onDemand: 0 });
    expect(spotPlan(4, 0, { ...market, lossPerHour: 3, onDemandPrice: 1.2 })).toEqual({ spot: 0, onDemand: 4 });
  });

  it("spreads over zones, and avoids where one was lost lately", () => {
    const zones = [
      { zone: "a", ours: 1, price: 1, lostAtS: null },
      { zone: "b", ours: 0, price: 2, lostAtS: null },
      { zone: "c", ours: 0, price: 1, lostAtS: 950 },
    ];
    expect(nextZone(zones, 1000, 600)).toBe("b");
    expect(nextZone(zones, 2000, 600)).toBe("c");
    expect(nextZone([], 0, 600)).toBeNull();
  });
});

describe("spending", () => {
  it("affords fewer machines the closer the cap is", () => {
    expect(affordable({ capNano: null, spentNano: 5 }, 3600, 60)).toBe(Infinity);
    expect(affordable({ capNano: 1000, spentNano: 400 }, 3600, 60)).toBe(10);
    expect(affordable({ capNano: 1000, spentNano: 1000 }, 3600, 60)).toBe(0);
  });
});
