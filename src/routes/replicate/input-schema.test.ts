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
