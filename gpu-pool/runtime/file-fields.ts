/**
 * Where a model's inputs are files, by its schema in Cog's shape: strings of format `uri`, also in lists, objects and
 * optional ones.
 */
import type { Json } from "../../src/contract/prediction.ts";

export type JsonObject = { [key: string]: Json };

const ALTERNATIVES = ["anyOf", "oneOf", "allOf"] as const;

/** The inputs that hold files, and their schemas. */
export function fileFields(schema: JsonObject): ReadonlyMap<string, Json> {
  const input = ["components", "schemas", "Input"].reduce<Json>((place, key) => within(place, key), schema);
  const properties = within(input, "properties");
  return new Map(
    isObject(properties) ? Object.entries(properties).filter(([, property]) => mentionsFile(property)) : [],
  );
}

/**
 * A copy of `value` whose files may be replaced: `onFile` is told of each string that is one by the schema, and how to
 * put another in its place.
 */
export function copyWithFiles(
  schema: Json,
  value: Json,
  put: (other: string) => void,
  onFile: (file: string, put: (other: string) => void) => void,
): Json {
  if (!mentionsFile(schema)) return value;
  if (typeof value === "string") {
    if (variantsOf(schema).some((variant) => within(variant, "format") === "uri")) onFile(value, put);
    return value;
  }
  if (Array.isArray(value)) {
    const copy = [...value];
    for (const [index, item] of value.entries()) {
      copy[index] = copyWithFiles(partOf(schema, "items"), item, (other) => (copy[index] = other), onFile);
    }
    return copy;
  }
  if (!isObject(value)) return value;
  const copy = { ...value };
  for (const [key, inner] of Object.entries(value)) {
    const named = within(partOf(schema, "properties"), key) ?? partOf(schema, "additionalProperties");
    copy[key] = copyWithFiles(named, inner, (other) => (copy[key] = other), onFile);
  }
  return copy;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The schema and what it is made of. */
function variantsOf(schema: Json): Json[] {
  const made = ALTERNATIVES.map((key) => within(schema, key)).filter((list) => Array.isArray(list));
  return [schema, ...made.flat().flatMap(variantsOf)];
}

/** What its elements, or fields, are: of the alternatives, the one that holds files. */
function partOf(schema: Json, key: "items" | "properties" | "additionalProperties"): Json {
  const parts = variantsOf(schema).map((variant) => within(variant, key));
  return parts.find((part) => mentionsFile(key === "properties" ? valuesOf(part) : part)) ?? null;
}

function mentionsFile(schema: Json): boolean {
  if (Array.isArray(schema)) return schema.some(mentionsFile);
  if (!isObject(schema)) return false;
  if (schema["format"] === "uri") return true;
  const inner = [...ALTERNATIVES, "items", "additionalProperties"].map((key) => within(schema, key));
  return mentionsFile([...inner, valuesOf(within(schema, "properties"))]);
}

function valuesOf(properties: Json): Json[] {
  return isObject(properties) ? Object.values(properties) : [];
}

function within(value: Json, key: string): Json {
  return isObject(value) && Object.hasOwn(value, key) ? (value[key] ?? null) : null;
}
