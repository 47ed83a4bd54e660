import { expect, test } from "vitest";
import { Lately } from "./lately.ts";

test("the first value counts whole, each later one by a quarter", () => {
  const lately = new Lately();
  expect([lately.value, lately.count]).toEqual([null, 0]);
  const values = [100, 200, 125, 0].map((next) => {
    lately.add(next);
    return lately.value;
  });
  expect(values).toEqual([100, 125, 125, 93.75]);
  expect(lately.count).toBe(4);
});
