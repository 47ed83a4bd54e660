import { expect, test } from "vitest";
import { granted } from "../../test/unit/granted.ts";
import { runItems } from "./inputs.ts";
import { Run } from "./run.ts";

test("one prediction under two claims, a lost and a new one, is two items", () => {
  const both = [granted({ token: "old" }), granted({ token: "new" })];
  const run = new Run(1, both, false);
  const keys = runItems(both, "/scratch").map(({ id }) => id);
  expect(run.size).toBe(2);
  expect(keys.map((key) => run.item(key)?.prediction.ref.token)).toEqual(["old", "new"]);
});
