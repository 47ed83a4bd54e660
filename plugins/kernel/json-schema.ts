/**
 * JSON Schema (draft 2020-12) as settings of plugins have it. A keyword that isn't known, or that can't be checked, is
 * refused when the schema is compiled: a guard whose typing error lets everything through guards nothing.
 */
import { Validator } from "@cfworker/json-schema";
import * as z from "zod";
import type { Json } from "../../src/contract/prediction.ts";

export type JsonSchema = { [key: string]: Json };
export const JsonSchemaSchema = z.record(z.string(), z.json());

/** Null where `value` holds, else what is wrong, for the one who sent it. */
export type SchemaCheck = (value: Json) => string | null;

const MAX_NAMED = 3;
const MAX_NODES = 10_000;
/** They say that something beneath is wrong, which is told by itself. */
const OUTER = new Set([
  "properties",
  "items",
  "prefixItems",
  "allOf",
  "$ref",
  "additionalProperties",
  "patternProperties",
]);

const IN_MAP = ["properties", "$defs", "dependentSchemas"];
const IN_LIST = ["allOf", "anyOf", "oneOf", "prefixItems"];
const IN_ONE = ["additionalProperties", "items", "not", "if", "then", "else", "contains", "propertyNames"];
const NUMBERS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const COUNTS = [
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
  "minContains",
  "maxContains",
];
const NOTES = [
  "$schema",
  "$id",
  "$comment",
  "title",
  "description",
  "default",
  "examples",
  "deprecated",
  "const",
  "enum",
];
const TYPES = ["string", "number", "integer", "boolean", "array", "object", "null"];

/** Throws, naming the place, when the schema can't be checked by. `pattern`s run by backtracking, so there are none. */
export function compileJsonSchema(schema: JsonSchema): SchemaCheck {
  checkSchema(schema);
  const validator = new Validator(schema, "2020-12", false);
  return (value) => {
    const { valid, errors } = validator.validate(value);
    if (valid) return null;
    const inner = errors.filter(({ keyword }) => !OUTER.has(keyword));
    const told = (inner.length > 0 ? inner : errors).slice(0, MAX_NAMED);
    return told.map(({ instanceLocation, error }) => `${instanceLocation.slice(2) || "it"}: ${error}`).join(" ");
  };
}

function checkSchema(schema: JsonSchema): void {
  const left: { at: string; schema: Json | undefined }[] = [{ at: "#", schema }];
  for (let count = 0, next = left.pop(); next !== undefined; count += 1, next = left.pop()) {
    const { at, schema: one } = next;
    if (typeof one === "boolean") continue;
    if (count > MAX_NODES) throw new Error("the schema is too large");
    if (!isObject(one)) throw new Error(`${at} is no schema`);
    for (const [keyword, value] of Object.entries(one)) {
      const place = `${at}/${keyword}`;
      for (const [name, inner] of innerSchemas(keyword, value, place)) left.push({ at: name, schema: inner });
    }
  }
}

function innerSchemas(keyword: string, value: Json, at: string): [string, Json][] {
  if (IN_MAP.includes(keyword) && isObject(value))
    return Object.entries(value).map(([key, one]) => [`${at}/${key}`, one]);
  if (IN_LIST.includes(keyword) && Array.isArray(value)) return value.map((one, index) => [`${at}/${index}`, one]);
  if (IN_ONE.includes(keyword)) return [[at, value]];
  const holds =
    NOTES.includes(keyword) ||
    (NUMBERS.includes(keyword) && typeof value === "number") ||
    (COUNTS.includes(keyword) && Number.isSafeInteger(value)) ||
    (keyword === "required" && isListOf(value, (one) => typeof one === "string")) ||
    (keyword === "type" && isListOf([value].flat(), (one) => typeof one === "string" && TYPES.includes(one))) ||
    (keyword === "uniqueItems" && typeof value === "boolean") ||
    (keyword === "format" && typeof value === "string") ||
    (keyword === "$ref" && typeof value === "string" && value.startsWith("#"));
  if (!holds) throw new Error(`${at} is not known here, or has a value that it can't have`);
  return [];
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isListOf(value: Json, fits: (one: Json) => boolean): boolean {
  return Array.isArray(value) && value.every(fits);
}
