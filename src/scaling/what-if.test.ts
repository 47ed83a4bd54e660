import { expect, it } from "vitest";
import { whatIf } from "./what-if.ts";
import type { Asked } from "./what-if.ts";

const kind = { bootS: 30, slots: 1, billingS: 60, lossPerHour: 0 };
const asked: Asked = {
  ...{ name: "local/echo", workS: 5, targetS: 10, min: 0, max: 4, kind, pricePerHourNano: 3600 },
  atS: Array.from({ length: 300 }, (_, n) => n * 20),
  arrivals: 300,
};

it("tells what other bounds would have cost, and how long predictions would have waited", () => {
  const [cold] = whatIf([asked]);
  const [warm] = whatIf([{ ...asked, min: 1 }]);
  expect(cold).toMatchObject({ arrivals: 300, simulated: 300, overS: 5980 });
  expect(warm?.p95WaitS).toBe(0);
  expect(warm?.mostMachines).toBeLessThanOrEqual(4);
  expect(cold?.meanWaitS ?? 0).toBeGreaterThan(warm?.meanWaitS ?? 0);
  expect(warm?.costNano).toBe(Math.ceil(warm?.machineS ?? 0));
});

it("takes the latest arrivals where there are too many, and never more machines than allowed", () => {
  const many = { ...asked, atS: Array.from({ length: 25_000 }, (_, n) => n * 2), arrivals: 25_000, max: 2 };
  const [busy, other] = whatIf([many, { ...asked, atS: [], arrivals: 0 }]);
  expect(busy).toMatchObject({ arrivals: 25_000, simulated: 10_000, mostMachines: 2 });
  expect(busy?.late).toBeGreaterThan(0.5);
  expect(other).toMatchObject({ arrivals: 0, costNano: 0, p95WaitS: 0, late: 0 });
});

it("pays for machines that are kept though nothing comes", () => {
  const [kept] = whatIf([{ ...asked, atS: [0, 7200], arrivals: 2, min: 2 }]);
  expect(kept?.machineS).toBeGreaterThanOrEqual(2 * 7200);
});
