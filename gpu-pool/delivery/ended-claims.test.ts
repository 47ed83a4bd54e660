import { expect, it } from "vitest";
import { EndedClaims } from "./ended-claims.ts";

it("remembers what ended for at least one interval, and no longer than two", () => {
  const ended = new EndedClaims();
  ended.add("t");
  expect(ended.has("t")).toBe(true);
  expect(ended.has("other")).toBe(false);
  ended.forgetOld();
  expect(ended.has("t")).toBe(true);
  ended.forgetOld();
  expect(ended.has("t")).toBe(false);
});

it("refuses for good what the edge was told never came", () => {
  const ended = new EndedClaims();
  ended.refuse("t");
  for (let interval = 0; interval < 3; interval += 1) ended.forgetOld();
  expect(ended.has("t")).toBe(true);
});
