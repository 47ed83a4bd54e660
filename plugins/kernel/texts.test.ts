import { expect, test } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import { mapTexts, someText } from "./texts.ts";

test("every text is changed, and everything else is as it was", () => {
  const value = JSON.parse('{"a":"x","b":["x",1,null,{"c":"x","__proto__":"x"}],"x":true}') as Json;
  const made = mapTexts(value, (text) => text.toUpperCase());
  expect(JSON.stringify(made)).toBe('{"a":"X","b":["X",1,null,{"c":"X","__proto__":"X"}],"x":true}');
  expect(mapTexts(value, (text) => text)).toBe(value);
});

test("texts and names of fields are visited until one says that it is enough", () => {
  const seen: string[] = [];
  expect(someText({ a: ["b", { c: "d" }] }, (text) => (seen.push(text), false))).toBe(false);
  expect(seen.toSorted()).toEqual(["a", "b", "c", "d"]);
  expect(someText({ a: ["b"] }, (text) => text === "a")).toBe(true);
});

test("depth is no matter", () => {
  let deep: Json = "x";
  for (let level = 0; level < 200_000; level += 1) deep = { in: deep };
  expect(someText(deep, (text) => text === "x")).toBe(true);
  let made: Json = mapTexts(deep, () => "y");
  while (typeof made === "object" && made !== null && !Array.isArray(made)) made = made["in"] ?? null;
  expect(made).toBe("y");
});
