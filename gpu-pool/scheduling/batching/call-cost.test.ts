import { expect, test } from "vitest";
import { CallCost } from "./call-cost.ts";

test("a call is worth what its time besides the cost could compute", () => {
  const call = new CallCost();
  for (let run = 0; run < 7; run += 1) call.ran(100 * run, 10 + 20 * run);
  expect(call.worth).toBe(0);
  call.ran(700, 150);
  expect(call.worth).toBeCloseTo(50);
});

test("is worth nothing where runs don't show it: all of one cost, or no time besides it", () => {
  const [same, plain] = [new CallCost(), new CallCost()];
  for (let run = 1; run < 20; run += 1) {
    same.ran(64, 10 + run);
    plain.ran(run, 3 * run - 1);
    plain.ran(Infinity, 1);
  }
  expect([same.worth, plain.worth]).toEqual([0, 0]);
});

test("is worth any cost where cost takes no time, and follows what runs take now", () => {
  const call = new CallCost();
  for (let run = 0; run < 400; run += 1) call.ran(run % 10, 50);
  expect(call.worth).toBe(Infinity);
  for (let run = 0; run < 600; run += 1) call.ran(run % 10, 10 + 5 * (run % 10));
  expect(call.worth).toBeCloseTo(2, 0);
});
