/**
 * Checks an input against its version's schema: the part of JSON Schema that Cog writes into `components.schemas.Input`
 * (https://github.com/replicate/cog/blob/main/docs/python.md), compiled once to closures. No `eval`. Keywords
 * that it doesn't know are let through: the model has the last word.
 */
import type { InvalidField } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";

type Report = (field: string, description: string) => void;
type Check = (value: Json, field: string, report: Report) => void;
type Schema = { [key: string]: Json };

/** Returns the invalid fields of `input`, none when it fits. */
export type InputValidator = (input: Json) => InvalidField[];

const MAX_INVALID_FIELDS = 20;
const MAX_REF_DEPTH = 64;

/** Compiles the validator of a version's OpenAPI document; one without `components.schemas.Input` takes anything. */
export function compileInputValidator(document: Schema | null): InputValidator {
  const components = asSchema(asSchema(document?.["components"])?.["schemas"]);
  const schema = asSchema(components?.["Input"]);
  if (document === null || schema === null) return () => [];
  const check = compile(schema, { document, compiled: new Map(), depth: 0 });
  return (input) => {
    const fields: InvalidField[] = [];
    check(input, "input", (field, description) => {
      if (fields.length < MAX_INVALID_FIELDS) fields.push({ field, description });
    });
    return fields;
  };
}

type Scope = { document: Schema; compiled: Map<string, Check>; depth: number };

function compile(schema: Schema, scope: Scope): Check {
  const reference = schema["$ref"];
  if (typeof reference === "string") return compileReference(reference, scope);
  const checks = [
    ...compileType(schema),
    ...compileValues(schema),
    ...compileNumber(schema),
    ...compileString(schema),
    ...compileArray(schema, scope),
    ...compileObject(schema, scope),
    ...compileCombination(schema, scope),
  ];
  const run: Check = (value, field, report) => {
    for (const check of checks) check(value, field, report);
  };
  if (schema["nullable"] !== true) return run;
  return (value, field, report) => {
    if (value !== null) run(value, field, report);
  };
}

function compileReference(reference: string, scope: Scope): Check {
  const known = scope.compiled.get(reference);
  if (known !== undefined) return known;
  const target = scope.depth < MAX_REF_DEPTH ? resolve(reference, scope.document) : null;
  if (target === null) return () => {};
  let check: Check = () => {};
  scope.compiled.set(reference, (value, field, report) => check(value, field, report));
  check = compile(target, { ...scope, depth: scope.depth + 1 });
  return check;
}

function resolve(reference: string, document: Schema): Schema | null {
  if (!reference.startsWith("#/")) return null;
  let at: Schema | null = document;
  for (const part of reference.slice(2).split("/")) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    at = at !== null && Object.hasOwn(at, name) ? asSchema(at[name]) : null;
  }
  return at;
}

const typeTests: Record<string, (value: Json) => boolean> = {
  string: (value) => typeof value === "string",
  number: (value) => Number.isFinite(value),
  integer: (value) => typeof value === "number" && Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  array: (value) => Array.isArray(value),
  object: (value) => asSchema(value) !== null,
  null: (value) => value === null,
};

function compileType(schema: Schema): Check[] {
  const type = schema["type"];
  const names = (Array.isArray(type) ? type : [type]).filter((name) => typeof name === "string");
  const tests = names.map((name) => typeTests[name]).filter((test) => test !== undefined);
  if (tests.length === 0 || tests.length < names.length) return [];
  return [
    (value, field, report) => {
      if (!tests.some((test) => test(value)))
        report(field, `must be of type ${names.join(" or ")}, not ${typeName(value)}`);
    },
  ];
}

function compileValues(schema: Schema): Check[] {
  const allowed = Array.isArray(schema["enum"])
    ? schema["enum"]
    : Object.hasOwn(schema, "const")
      ? [schema["const"] ?? null]
      : null;
  if (allowed === null) return [];
  const texts = new Set(allowed.map((one) => JSON.stringify(one)));
  const list = [...texts].slice(0, 20).join(", ");
  return [
    (value, field, report) => {
      if (!texts.has(JSON.stringify(value))) report(field, `must be one of ${list}`);
    },
  ];
}

function compileNumber(schema: Schema): Check[] {
  const bounds: [string, (value: number, bound: number) => boolean, string][] = [
    ["minimum", (value, bound) => value >= bound, "must be at least"],
    ["maximum", (value, bound) => value <= bound, "must be at most"],
    ["exclusiveMinimum", (value, bound) => value > bound, "must be greater than"],
    ["exclusiveMaximum", (value, bound) => value < bound, "must be less than"],
  ];
  return bounds.flatMap(([keyword, holds, words]) => {
    const bound = schema[keyword];
    if (typeof bound !== "number") return [];
    const check: Check = (value, field, report) => {
      if (typeof value === "number" && !holds(value, bound)) report(field, `${words} ${bound}`);
    };
    return [check];
  });
}

function compileString(schema: Schema): Check[] {
  const checks = compileLength(schema, "Length", "characters", (value) =>
    typeof value === "string" ? codePoints(value) : null,
  );
  const pattern = compilePattern(schema["pattern"]);
  if (pattern !== null) {
    checks.push((value, field, report) => {
      if (typeof value === "string" && !pattern.test(value)) report(field, `must match the pattern ${pattern.source}`);
    });
  }
  if (schema["format"] === "uri") {
    checks.push((value, field, report) => {
      if (typeof value === "string" && !/^(?:https?|data):/i.test(value))
        report(field, "must be an http, https or data URI");
    });
  }
  return checks;
}

function compileArray(schema: Schema, scope: Scope): Check[] {
  const checks = compileLength(schema, "Items", "items", (value) => (Array.isArray(value) ? value.length : null));
  const items = asSchema(schema["items"]);
  if (items === null) return checks;
  const check = compile(items, scope);
  checks.push((value, field, report) => {
    if (Array.isArray(value)) for (const [index, item] of value.entries()) check(item, `${field}.${index}`, report);
  });
  return checks;
}

function compileObject(schema: Schema, scope: Scope): Check[] {
  const properties = Object.entries(asSchema(schema["properties"]) ?? {}).flatMap(([name, inner]) => {
    const property = asSchema(inner);
    return property === null ? [] : [{ name, check: compile(property, scope) }];
  });
  const names = new Set(properties.map(({ name }) => name));
  const required = Array.isArray(schema["required"])
    ? schema["required"].filter((name) => typeof name === "string")
    : [];
  const closed = schema["additionalProperties"] === false;
  return [
    (value, field, report) => {
      const object = asSchema(value);
      if (object === null) return;
      for (const name of required) if (!Object.hasOwn(object, name)) report(`${field}.${name}`, "is required");
      for (const { name, check } of properties) {
        if (Object.hasOwn(object, name)) check(object[name] ?? null, `${field}.${name}`, report);
      }
      if (!closed) return;
      for (const name of Object.keys(object))
        if (!names.has(name)) report(`${field}.${name}`, "is not an input of this model");
    },
  ];
}

function compileCombination(schema: Schema, scope: Scope): Check[] {
  const all = schemas(schema["allOf"]).map((inner) => compile(inner, scope));
  const alternatives = [...schemas(schema["anyOf"]), ...schemas(schema["oneOf"])].map((inner) => compile(inner, scope));
  if (alternatives.length === 0) return all;
  const anyFits: Check = (value, field, report) => {
    const problems: InvalidField[][] = [];
    for (const alternative of alternatives) {
      const found: InvalidField[] = [];
      alternative(value, field, (inner, description) => found.push({ field: inner, description }));
      if (found.length === 0) return;
      problems.push(found);
    }
    const reasons = new Set(problems.flat().map((problem) => problem.description));
    report(field, [...reasons].join(", or "));
  };
  return [...all, anyFits];
}

function compileLength(schema: Schema, noun: string, unit: string, measure: (value: Json) => number | null): Check[] {
  const min = schema[`min${noun}`];
  const max = schema[`max${noun}`];
  const checks: Check[] = [];
  if (typeof min === "number") {
    checks.push((value, field, report) => {
      if ((measure(value) ?? min) < min) report(field, `must have at least ${min} ${unit}`);
    });
  }
  if (typeof max === "number") {
    checks.push((value, field, report) => {
      if ((measure(value) ?? max) > max) report(field, `must have at most ${max} ${unit}`);
    });
  }
  return checks;
}

/** Python's patterns are nearly JavaScript's; one that isn't is left to the model. */
function compilePattern(pattern: Json | undefined): RegExp | null {
  if (typeof pattern !== "string") return null;
  try {
    return new RegExp(pattern, "u");
  } catch {
    return null;
  }
}

function schemas(value: Json | undefined): Schema[] {
  return Array.isArray(value) ? value.map(asSchema).filter((schema) => schema !== null) : [];
}

function asSchema(value: Json | undefined): Schema | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
}

function typeName(value: Json): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
