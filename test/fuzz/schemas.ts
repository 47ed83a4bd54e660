/**
 * Schemas that a hostile model may come with: endless, exponential, named after prototypes, with patterns that
 * backtrack for ever.
 */
import fc from "fast-check";
import type { Json } from "../../src/contract/prediction.ts";
import { hostileJson, hostileText } from "./hostile.ts";

type Schema = { [key: string]: Json };

const names = ["A", "B", "C", "Input", "__proto__", "constructor"] as const;
const types = [
  "string",
  "number",
  "integer",
  "boolean",
  "array",
  "object",
  "null",
  "constructor",
  "__proto__",
  "toString",
  "any",
];
const patterns = [
  "^(a+)+$",
  "(a|a)*b",
  "(a|aa)+$",
  "^(\\w*\\s*)*$",
  "(.*)*x",
  "((a*)*)*$",
  "(?=a)b",
  "(a)\\1",
  "[",
  "^[^\\]]{1,9}$",
  "(x{0,99}){0,99}",
  "\\p{L}+",
];

const reference = fc.constantFrom(...names).map((name): Schema => ({ $ref: `#/components/schemas/${name}` }));

const { schema } = fc.letrec<{ schema: Schema }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    reference,
    fc
      .record(
        {
          type: fc.oneof(fc.constantFrom<Json>(...types), fc.array(fc.constantFrom<Json>(...types), { maxLength: 3 })),
          enum: fc.array(hostileJson as fc.Arbitrary<Json>, { maxLength: 3 }),
          minLength: fc.integer(),
          maxLength: fc.double(),
          minimum: fc.double(),
          pattern: fc.oneof(fc.constantFrom(...patterns), hostileText),
          format: fc.constantFrom("uri", "password", "__proto__"),
          nullable: fc.boolean(),
          additionalProperties: fc.boolean(),
          required: fc.array(fc.oneof(fc.constantFrom<Json>(...names), hostileJson as fc.Arbitrary<Json>), {
            maxLength: 3,
          }),
          properties: fc.dictionary(fc.constantFrom("id", "a", "__proto__", "0"), tie("schema"), { maxKeys: 3 }),
          items: tie("schema"),
          allOf: fc.array(tie("schema"), { maxLength: 3 }),
          anyOf: fc.array(tie("schema"), { maxLength: 3 }),
          oneOf: fc.array(tie("schema"), { maxLength: 3 }),
        },
        { requiredKeys: [] },
      )
      .map((one) => one as Schema),
    (hostileJson as fc.Arbitrary<Json>).map((value): Schema => ({
      type: value,
      items: value,
      properties: value,
      allOf: value,
    })),
  ),
}));

/** Each step refers to the next one twice: 2^60 ways through it. */
function doubling(keyword: "allOf" | "anyOf"): Schema {
  const schemas: Schema = {};
  for (let step = 0; step < 60; step += 1) {
    const next = { $ref: `#/components/schemas/S${step + 1}` };
    schemas[`S${step}`] = { [keyword]: [next, next] };
  }
  return {
    components: {
      schemas: { ...schemas, S60: { type: "null", pattern: "x" }, Input: { $ref: "#/components/schemas/S0" } },
    },
  };
}

export const schemaDocuments: fc.Arbitrary<Schema> = fc.oneof(
  {
    weight: 200,
    arbitrary: fc
      .record({ Input: schema, A: schema, B: schema, C: schema })
      .map((schemas): Schema => ({ components: { schemas } })),
  },
  { weight: 1, arbitrary: fc.constantFrom(doubling("allOf"), doubling("anyOf")) },
  { weight: 20, arbitrary: fc.record({ components: hostileJson as fc.Arbitrary<Json> }) as fc.Arbitrary<Schema> },
);
