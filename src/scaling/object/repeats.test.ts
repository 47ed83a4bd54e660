import { expect, it } from "vitest";
import { Repeats } from "./repeats.ts";

const [A, B] = [{ id: "a" }, { id: "b" }];

it("asks at once, again after a while, and at once for what was away meanwhile", () => {
  const repeats = new Repeats(10_000);
  expect(repeats.due([A], 0)).toEqual([A]);
  expect(repeats.due([A, B], 9999)).toEqual([B]);
  expect(repeats.due([A, B], 10_000)).toEqual([A]);
  expect(repeats.due([B], 15_000)).toEqual([]);
  expect(repeats.due([A, B], 15_001)).toEqual([A]);
});
