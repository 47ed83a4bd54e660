/** An input that a model's schema takes: what must be there, by its default, its first choice, or its type. */
import type { Json } from "../../contract/prediction.ts";

export type Schema = { [key: string]: Json };
export type Schemas = { [name: string]: Json };

const SCHEMAS = "#/components/schemas/";
const MAX_DEPTH = 8;
/**
 * What a sample may consist of: a schema that requires itself in many places would fill any memory within that depth.
 */
const MAX_NODES = 1000;
/** Texts of the formats that models' schemas have. Files are named by URLs; this one brings its content with it. */
const SAMPLES: ReadonlyMap<unknown, string> = new Map([
  ["uri", "data:text/plain,hello"],
  ["date-time", "2025-01-31T12:30:00Z"],
  ["date", "2025-01-31"],
  ["time", "12:30:00"],
  ["duration", "PT1H30M"],
  ["decimal", "1"],
  ["uuid", "00000000-0000-4000-8000-000000000000"],
]);

/** `schemas` are the model's own, with `Input` among them. */
export function sampleInput(schemas: Schemas): { [key: string]: Json } {
  const sample = sampleOf(asSchema(schemas["Input"] ?? null), { schemas, nodesLeft: MAX_NODES }, 0);
  return typeof sample === "object" && sample !== null && !Array.isArray(sample) ? sample : {};
}

type Source = { schemas: Schemas; nodesLeft: number };

function sampleOf(given: Schema, source: Source, depth: number): Json {
  source.nodesLeft -= 1;
  if (source.nodesLeft < 0) return null;
  const schema = resolved(given, source.schemas);
  const choices = schema["enum"];
  if (schema["default"] !== undefined) return schema["default"];
  if (Array.isArray(choices) && choices[0] !== undefined) return choices[0];
  if (depth > MAX_DEPTH) return null;
  switch (schema["type"]) {
    case "object":
      return sampleObject(schema, source, depth);
    case "array":
      return [sampleOf(asSchema(schema["items"] ?? null), source, depth + 1)];
    case "integer":
    case "number":
      return sampleNumber(schema);
    case "boolean":
      return true;
    case "string":
      return sampleText(schema);
    default: {
      const [first] = Array.isArray(schema["anyOf"]) ? schema["anyOf"] : [];
      return first === undefined ? "hello" : sampleOf(asSchema(first), source, depth + 1);
    }
  }
}

function sampleObject(schema: Schema, source: Source, depth: number): { [key: string]: Json } {
  const required = Array.isArray(schema["required"]) ? schema["required"].map(String) : [];
  const properties = asSchema(schema["properties"] ?? null);
  return Object.fromEntries(
    required.map((name) => [name, sampleOf(asSchema(properties[name] ?? null), source, depth + 1)]),
  );
}

function sampleNumber(schema: Schema): number {
  const { minimum, maximum } = schema;
  const least = typeof minimum === "number" ? Math.max(minimum, 1) : 1;
  return typeof maximum === "number" ? Math.min(least, maximum) : least;
}

function sampleText(schema: Schema): string {
  const known = SAMPLES.get(schema["format"]);
  if (known !== undefined) return known;
  const { minLength, maxLength } = schema;
  const text = "hello".padEnd(typeof minLength === "number" ? Math.min(minLength, 1000) : 0, "o");
  return typeof maxLength === "number" ? text.slice(0, maxLength) : text;
}

/** What a reference, alone or within `allOf`, stands for, with what stands beside it. */
function resolved(schema: Schema, schemas: Schemas): Schema {
  const parts = Array.isArray(schema["allOf"]) ? schema["allOf"].map(asSchema) : [schema];
  const found = parts.map(({ $ref }) =>
    typeof $ref === "string" ? asSchema(schemas[$ref.slice(SCHEMAS.length)] ?? null) : {},
  );
  return Object.assign({}, ...found, ...parts, schema) as Schema;
}

export function asSchema(value: Json): Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
