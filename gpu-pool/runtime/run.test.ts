import { expect, test } from "vitest";
import { granted, runOf } from "../../test/unit/granted.ts";
import { runItems } from "./inputs.ts";

test("one prediction under two claims, a lost and a new one, is two items", () => {
  const both = [granted({ token: "old" }), granted({ token: "new" })];
  const run = runOf(both);
  const keys = runItems(both, "/scratch").map(({ id }) => id);
  expect(run.size).toBe(2);
  expect(keys.map((key) => run.item(key)?.prediction.ref.token)).toEqual(["old", "new"]);
});

test("a run's time is shared by costs, and adds up over runs", () => {
  const [cheap, dear] = [granted({ token: "cheap" }), granted({ token: "dear", cost: 3 })];
  const run = runOf([cheap, dear], 1, 1000);
  expect(run.over(1400)).toEqual([cheap, dear]);
  expect([cheap.deviceMs, dear.deviceMs]).toEqual([100, 300]);
  runOf([dear], 2, 2000).over(2050);
  expect(dear.deviceMs).toBe(350);
});
