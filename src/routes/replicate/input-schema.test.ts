import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "../../contract/prediction.ts";
import { compileInputValidator } from "./input-schema.ts";

function validator(
  properties: { [key: string]: Json },
  rest: { [key: string]: Json } = {},
  schemas: { [key: string]: Json } = {},
) {
  return compileInputValidator({
    components: { schemas: { Input: { type: "object", properties, ...rest }, ...schemas } },
  });
}

/** Cog's own way of writing a choice. */
const choice = { allOf: [{ $ref: "#/components/schemas/size" }], default: "small" };
const size = { title: "size", enum: ["small", "large"], type: "string" };

const cases: [string, { [key: string]: Json }, Json, boolean][] = [
  ["a string", { type: "string" }, "x", true],
  ["a number for a string", { type: "string" }, 7, false],
  ["an integer", { type: "integer" }, 7, true],
  ["an integer written as 7.0", { type: "integer" }, 7.0, true],
  ["a fraction for an integer", { type: "integer" }, 7.5, false],
  ["the largest integer that is exact", { type: "integer" }, 9_007_199_254_740_991, true],
  ["an integer that was rounded on its way", { type: "integer" }, JSON.parse("18446744073709551615") as Json, false],
  ["the same where a number will do", { type: "number" }, JSON.parse("18446744073709551615") as Json, true],
  ["a name of any alphabet", { type: "string", pattern: "^\\w+$" }, "Zoë", true],
  ["null for what is not nullable", { type: "string" }, null, false],
  ["null for what is nullable", { type: "string", nullable: true }, null, true],
  ["null in a union of types", { type: ["string", "null"] }, null, true],
  ["a number beyond a double, which JSON.parse makes infinite", { type: "number" }, Number.POSITIVE_INFINITY, false],
  ["a number at the minimum", { type: "number", minimum: 1 }, 1, true],
  ["a number below the minimum", { type: "number", minimum: 1 }, 0.9, false],
  ["a number above the maximum", { type: "number", maximum: 1 }, 1.1, false],
  ["a number at the maximum", { type: "number", maximum: 1 }, 1, true],
  ["a number at an exclusive bound", { type: "number", exclusiveMaximum: 1 }, 1, false],
  ["a text that is too short", { type: "string", minLength: 2 }, "é", false],
  ["a text whose length counts characters", { type: "string", maxLength: 1 }, "😀", true],
  ["a text that is too long", { type: "string", maxLength: 1 }, "ab", false],
  ["a text that matches", { type: "string", pattern: "^a+$" }, "aaa", true],
  ["a text that doesn't match", { type: "string", pattern: "^a+$" }, "ab", false],
  ["anything for a pattern that JavaScript can't read", { type: "string", pattern: "(?P<x>a" }, "b", true],
  ["a URL", { type: "string", format: "uri" }, "https://example.com/a.png", true],
  ["a data URI", { type: "string", format: "uri" }, "data:text/plain,x", true],
  ["a local path for a URL", { type: "string", format: "uri" }, "/etc/passwd", false],
  ["one of a choice", choice, "large", true],
  ["none of a choice", choice, "medium", false],
  ["a list", { type: "array", items: { type: "integer" } }, [1, 2], true],
  ["a list with a wrong item", { type: "array", items: { type: "integer" } }, [1, "2"], false],
  ["too many items", { type: "array", items: {}, maxItems: 1 }, [1, 2], false],
  ["either of two types", { anyOf: [{ type: "integer" }, { type: "string" }] }, "x", true],
  ["neither of two types", { anyOf: [{ type: "integer" }, { type: "string" }] }, [], false],
];

const composites = Array.from({ length: 100_000 }, () => [-1]);
const fitting = composites.map(() => [4999]);

describe("the input's validator", () => {
  it.each(cases)("judges %s", (_case, schema, value, fits) => {
    expect(validator({ x: schema }, {}, { size })({ x: value }).length === 0).toBe(fits);
  });

  it("asks for what is required, and names what is too much where the schema is closed", () => {
    const check = validator({ a: { type: "string" } }, { required: ["a"], additionalProperties: false });
    expect(check({ b: 1 })).toEqual([
      { field: "input.a", description: "is required" },
      { field: "input.b", description: "is not an input of this model" },
    ]);
  });

  it("says where in a list", () => {
    expect(validator({ x: { type: "array", items: { type: "integer", minimum: 0 } } })({ x: [1, -1] })).toEqual([
      { field: "input.x.1", description: "must be at least 0" },
    ]);
  });

  const texts = { type: "array", items: { type: "string" } };
  const named = { type: "object", required: ["name"], properties: { name: { type: "string" } } };
  it.each<[string, { [key: string]: Json }, Json, [string, string][]]>([
    [
      "the member of a list",
      { anyOf: [{ type: "string" }, texts] },
      ["a", 1],
      [["input.x.1", "must be of type string, not number"]],
    ],
    [
      "each wrong member",
      { anyOf: [texts, { type: "null" }] },
      [true, "a", 1],
      [
        ["input.x.0", "must be of type string, not boolean"],
        ["input.x.2", "must be of type string, not number"],
      ],
    ],
    [
      "the member of several lists by the nearest",
      { oneOf: [{ type: "array", items: { type: "integer" } }, texts] },
      ["a", 1],
      [["input.x.0", "must be of type integer, not string"]],
    ],
    ["what a field lacks", { anyOf: [{ type: "string" }, named] }, {}, [["input.x.name", "is required"]]],
    [
      "all types once",
      { anyOf: [{ type: "string" }, { anyOf: [texts, { type: "null" }] }, { type: "string" }] },
      1,
      [["input.x", "must be of type string or array or null, not number"]],
    ],
    [
      "a member's types",
      { type: "array", items: { anyOf: [{ type: "string" }, { type: "integer" }] } },
      ["a", []],
      [["input.x.1", "must be of type string or integer, not array"]],
    ],
    [
      "a bound, not the types that it isn't",
      { anyOf: [{ type: "integer", minimum: 3 }, { type: "null" }] },
      1,
      [["input.x", "must be at least 3"]],
    ],
    [
      "each bound once",
      { anyOf: [{ minimum: 3 }, { enum: [2] }, { minimum: 3 }] },
      1,
      [["input.x", "must be at least 3, or must be one of 2"]],
    ],
  ])("says of alternatives %s", (_what, schema, value, expected) => {
    const fields = validator({ x: schema })({ x: value });
    expect(fields).toEqual(expected.map(([field, description]) => ({ field, description })));
  });

  it("takes anything without a schema", () => {
    expect(compileInputValidator(null)({ x: 1 })).toEqual([]);
    expect(compileInputValidator({ components: {} })({ x: 1 })).toEqual([]);
  });

  it("survives references that go round, lead nowhere, or name prototypes", () => {
    const loop = { properties: { next: { $ref: "#/components/schemas/Loop" } }, required: ["id"] };
    const check = validator(
      { x: { $ref: "#/components/schemas/Loop" }, y: { $ref: "#/nowhere" }, z: { $ref: "#/__proto__" } },
      {},
      { Loop: loop },
    );
    expect(check({ x: { id: 1, next: { id: 2, next: {} } }, y: 1, z: 1 })).toEqual([
      { field: "input.x.next.next.id", description: "is required" },
    ]);
  });

  it.each<[string, { [key: string]: Json }, Json]>([
    ["named after what every object has", { type: ["__proto__", "constructor"] }, 1],
    ["that refers to itself", { $ref: "#/components/schemas/Endless" }, 1],
    ["whose alternatives are itself", { anyOf: [{ $ref: "#/components/schemas/Wide" }] }, 1],
    ["of two ways at each of sixty steps", { $ref: "#/components/schemas/S0" }, 1],
    ["of many composite choices", { items: { enum: Array.from({ length: 5000 }, (_, one) => [one]) } }, fitting],
    ["with a pattern that backtracks for ever", { pattern: "^(a+)+$" }, `${"a".repeat(4_000_000)}!`],
  ])("leaves a schema to the model %s", (_case, schema, input) => {
    const steps = Array.from({ length: 60 }, (_, step): [string, Json] => {
      const next = { $ref: `#/components/schemas/S${step + 1}` };
      return [`S${step}`, { anyOf: [next, next] }];
    });
    const endless = { allOf: [{ $ref: "#/components/schemas/Endless" }] };
    const wide = { anyOf: [{ $ref: "#/components/schemas/Wide" }, { $ref: "#/components/schemas/Wide" }] };
    const schemas = { ...Object.fromEntries(steps), S60: { type: "null" }, Endless: endless, Wide: wide };
    expect(validator({ x: schema }, {}, schemas)({ x: input })).toEqual([]);
  });

  it("counts what alternatives that don't fit cost, beyond the look at each", () => {
    const steps = Array.from({ length: 60 }, (_, step): [string, Json] => {
      const next = { $ref: `#/components/schemas/S${step + 1}` };
      return [`S${step}`, { anyOf: [next, next] }];
    });
    let looks = 0;
    const watched = new Proxy<{ [key: string]: Json }>(
      { unknown: 1 },
      { ownKeys: (target) => ((looks += 1), Reflect.ownKeys(target)) },
    );
    const last = { additionalProperties: false };
    validator(
      { x: { $ref: "#/components/schemas/S0" } },
      {},
      { ...Object.fromEntries(steps), S60: last },
    )({ x: watched });
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThan(30_000);
  });

  it("refuses what it found before its steps were spent", () => {
    const pair = { anyOf: [{ type: "integer" }, { properties: { a: { type: "string" } }, type: "object" }] };
    const check = validator({ x: { type: "array", items: pair } });
    for (const length of [10_000, 40_000]) expect(check({ x: Array.from({ length }, () => true) })).toHaveLength(20);
    const choices = validator({ x: { items: { enum: Array.from({ length: 5000 }, (_, one) => [one]) } } });
    expect(choices({ x: composites })).toHaveLength(20);
    const long = validator({ x: { pattern: "^(a+)+$", maxLength: 10 } });
    expect(long({ x: `${"a".repeat(4_000_000)}!` })).toMatchObject([
      { description: "must have at most 10 characters" },
    ]);
    for (const item of [1, { a: "b" }]) expect(check({ x: Array.from({ length: 40_000 }, () => item) })).toEqual([]);
  });

  it("refuses with a pattern that would backtrack for ever", () => {
    const check = validator({ x: { type: "string", pattern: "^(a+)+$" } });
    expect(check({ x: `${"a".repeat(5000)}!` })).toHaveLength(1);
    expect(check({ x: "a".repeat(5000) })).toEqual([]);
  });

  it("knows a choice whatever the order of its keys", () => {
    const check = validator({ x: { enum: [{ a: 1, b: [2] }, 3] } });
    expect(check({ x: { b: [2], a: 1 } })).toEqual([]);
    expect(check({ x: { a: 1, b: [3] } })).toHaveLength(1);
  });

  it("never throws, whatever the schema and the input", () => {
    const json = fc.jsonValue() as fc.Arbitrary<Json>;
    fc.assert(
      fc.property(json, json, (schema, input) => {
        const check = compileInputValidator({ components: { schemas: { Input: schema } } });
        expect(check(input)).toBeInstanceOf(Array);
      }),
    );
  });
});
