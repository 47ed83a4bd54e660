/** `prompt-guard` bounds an input: its length, depth and estimated tokens, fields that it must have, and a schema. */
import * as z from "zod";
import type { Json } from "../../src/contract/prediction.ts";
import { definePlugin } from "../kernel/define-plugin.ts";
import { compileJsonSchema, JsonSchemaSchema } from "../kernel/json-schema.ts";
import type { JsonSchema, SchemaCheck } from "../kernel/json-schema.ts";
import { judge, proceed } from "../kernel/phases.ts";
import { measure } from "./measure.ts";

const MAX_SCHEMAS = 1000;
const MAX_MESSAGE_CHARS = 500;
const LimitSchema = z.int().min(0).max(1e12).optional();
const FieldsSchema = z.array(z.string().min(1).max(256)).max(100);

export const promptGuard = definePlugin({
  name: "prompt-guard",
  apiVersion: 1,
  phases: ["screenInput"],
  config: z.strictObject({
    maxCharacters: LimitSchema.meta({ description: "Of all texts of the input together." }),
    maxTextCharacters: LimitSchema.meta({ description: "Of any one text." }),
    maxTokens: LimitSchema.meta({
      description: "Estimated: one for four letters, or for a character of a script without spaces.",
    }),
    maxDepth: LimitSchema.meta({ description: "Lists and objects within each other; the input itself is the first." }),
    required: FieldsSchema.default([]).meta({
      description: "Fields of the input that must be there and not be empty.",
    }),
    forbidden: FieldsSchema.default([]).meta({ description: "Fields of the input that must not be there." }),
    schemas: z
      .record(z.string().regex(/^([^/]+\/[^/]+|\*)$/, "owner/name of a model, or *"), JsonSchemaSchema)
      .refine((schemas) => Object.keys(schemas).length <= MAX_SCHEMAS, `at most ${MAX_SCHEMAS}`)
      .default({})
      .meta({ description: "A JSON Schema by model (`*`: all) that inputs must hold to, besides the model's own." }),
  }),
  example: {
    maxTokens: 8000,
    maxDepth: 10,
    schemas: { "*": { properties: { n: { type: "integer", maximum: 4 } } } },
  },
  setup({ config }) {
    const schemas = new Map(Object.entries(config.schemas).map(([name, schema]) => [name, schemaOf(name, schema)]));
    const limits = [
      ["characters", config.maxCharacters, "characters"],
      ["longest", config.maxTextCharacters, "characters in one text"],
      ["tokens", config.maxTokens, "tokens, estimated"],
      ["depth", config.maxDepth, "levels of lists and objects"],
    ] as const;
    const measures = limits.some(([, limit]) => limit !== undefined);
    return {
      screenInput: judge(({ input, model }) => {
        const absent = config.required.find((field) => isEmpty(input[field]));
        if (absent !== undefined) return refusal("required", `The input must have \`${absent}\`.`);
        const extra = config.forbidden.find((field) => Object.hasOwn(input, field));
        if (extra !== undefined) return refusal("forbidden", `The input may not have \`${extra}\`.`);
        const size = measures ? measure(input) : null;
        for (const [key, limit, what] of limits) {
          if (size === null || limit === undefined || size[key] <= limit) continue;
          return refusal(key, `The input has ${size[key]} ${what}; ${limit} may be.`);
        }
        const problem = schemas.get("*")?.(input) ?? schemas.get(`${model.owner}/${model.name}`)?.(input) ?? null;
        return problem === null ? proceed : refusal("schema", problem.slice(0, MAX_MESSAGE_CHARS));
      }),
    };
  },
});

function schemaOf(name: string, schema: JsonSchema): SchemaCheck {
  try {
    return compileJsonSchema(schema);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the schema of ${name} can't be used: ${reason}`, { cause });
  }
}

function isEmpty(value: Json | undefined): boolean {
  return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

function refusal(rule: string, message: string) {
  return { verdict: "reject", code: "invalid_input", message, findings: [{ category: "prompt", rule }] } as const;
}
