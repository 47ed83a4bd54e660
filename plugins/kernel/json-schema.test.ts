import { expect, test } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import { compileJsonSchema } from "./json-schema.ts";

test.each<[{ [key: string]: Json }, Json, string | null]>([
  [{ type: "object", required: ["n"] }, {}, "n"],
  [{ properties: { n: { type: "integer", maximum: 4 } } }, { n: 5 }, "n: 5 is greater than 4."],
  [{ properties: { n: { type: "integer", maximum: 4 } } }, { n: 4 }, null],
  [{ properties: { a: { items: { enum: [1, 2] } } } }, { a: [1, 3] }, "a/1"],
  [{ $defs: { short: { maxLength: 2 } }, additionalProperties: { $ref: "#/$defs/short" } }, { x: "abc" }, "x: "],
  [{ if: { required: ["a"] }, else: { required: ["b"] } }, { c: 1 }, "b"],
  [{ additionalProperties: false }, { x: 1 }, "x"],
  [{ anyOf: [{ type: "string" }, { type: "null" }] }, 1, "it: "],
])("%j over %j: %s", (schema, value, problem) => {
  const told = compileJsonSchema(schema)(value);
  if (problem === null) expect(told).toBeNull();
  else expect(told).toContain(problem);
});

test.each<{ [key: string]: Json }>([
  { maximun: 4 },
  { type: "strin" },
  { properties: { n: 7 } },
  { properties: { s: { pattern: "(a+)+$" } } },
  { required: "n" },
  { $ref: "https://example.com/schema" },
  { minLength: "3" },
])("%j is refused", (schema) => expect(() => compileJsonSchema(schema)).toThrow("#"));
