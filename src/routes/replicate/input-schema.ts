/**
 * Checks an input against its version's schema: the part of JSON Schema that Cog writes into `components.schemas.Input`
 * (https://github.com/replicate/cog/blob/main/docs/python.md), compiled once to closures. No `eval`. Keywords
 * that it doesn't know are let through: the model has the last word. It has it too on what a check would take too many
 * steps for: a schema is as much a stranger's as an input. What was found until then is refused all the same.
 */
import type { InvalidField } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import { compileLinearPattern } from "./linear-pattern.ts";

/** A problem; `types`: a value of another type stands there than these. */
type Problem = InvalidField & { types?: readonly string[] };
type Report = (field: string, description: string, types?: readonly string[]) => void;
type Check = (value: Json, field: string, run: Run) => void;
type Schema = { [key: string]: Json };

/** Returns the invalid fields of `input`, none when it fits. */
export type InputValidator = (input: Json) => InvalidField[];

const MAX_INVALID_FIELDS = 20;
/** Steps that one input may take: about 50 ms. */
const MAX_STEPS = 500_000;
/** How deep checks may call each other: an input nests 128 deep, and a level is a few checks. */
const MAX_CHECK_DEPTH = 1000;
/** How deep a schema is compiled, references included. */
const MAX_COMPILE_DEPTH = 256;
const CHARACTERS_A_STEP = 16;
/** Where no alternative fits, each costs this much more: their problems are compared. */
const STEPS_A_MISFIT = 12;
const MAX_SHOWN_VALUES = 20;

/** Ends a run whose steps are spent. */
class GaveUp extends Error {}

/** One validation: where problems go, and how much it may still do. */
class Run {
  readonly report: Report;
  readonly #limits: { steps: number; depth: number };

  constructor(report: Report, limits = { steps: MAX_STEPS, depth: 0 }) {
    this.report = report;
    this.#limits = limits;
  }

  /** The same run, with its problems reported elsewhere. */
  reportingTo(report: Report): Run {
    return new Run(report, this.#limits);
  }

  spend(steps: number): void {
    this.#limits.steps -= steps;
    if (this.#limits.steps < 0) throw new GaveUp();
  }

  apply(checks: readonly Check[], value: Json, field: string): void {
    const limits = this.#limits;
    limits.depth += 1;
    if (limits.depth > MAX_CHECK_DEPTH) throw new GaveUp();
    if (checks.length === 0) this.spend(1);
    for (const check of checks) {
      this.spend(typeof value === "string" ? 1 + Math.ceil(value.length / CHARACTERS_A_STEP) : 1);
      check(value, field, this);
    }
    limits.depth -= 1;
  }
}

/** Compiles the validator of a version's OpenAPI document; one without `components.schemas.Input` takes anything. */
export function compileInputValidator(document: Schema | null): InputValidator {
  const components = asSchema(asSchema(document?.["components"])?.["schemas"]);
  const schema = asSchema(components?.["Input"]);
  if (document === null || schema === null) return () => [];
  const check = compile(schema, { document, compiled: new Map(), depth: 0 });
  return (input) => {
    const { fields, report } = collector();
    try {
      check(input, "input", new Run(report));
    } catch (thrown) {
      if (!(thrown instanceof GaveUp)) throw thrown;
    }
    return fields.map(({ field, description }) => ({ field, description }));
  };
}

/** The first problems that are reported. */
function collector(): { fields: Problem[]; report: Report } {
  const fields: Problem[] = [];
  const report: Report = (field, description, types) => {
    if (fields.length >= MAX_INVALID_FIELDS) return;
    fields.push(types === undefined ? { field, description } : { field, description, types });
  };
  return { fields, report };
}

type Scope = { document: Schema; compiled: Map<string, Check>; depth: number };

function compile(schema: Schema, outer: Scope): Check {
  if (outer.depth >= MAX_COMPILE_DEPTH) return () => {};
  const scope = { ...outer, depth: outer.depth + 1 };
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
  const isNullable = schema["nullable"] === true;
  return (value, field, run) => {
    if (value !== null || !isNullable) run.apply(checks, value, field);
  };
}

function compileReference(reference: string, scope: Scope): Check {
  const known = scope.compiled.get(reference);
  if (known !== undefined) return known;
  const target = resolve(reference, scope.document);
  if (target === null) return () => {};
  let check: Check = () => {};
  const later: Check = (value, field, run) => run.apply([check], value, field);
  scope.compiled.set(reference, later);
  check = compile(target, scope);
  return later;
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

const typeTests = new Map<string, (value: Json) => boolean>([
  ["string", (value) => typeof value === "string"],
  ["number", (value) => Number.isFinite(value)],
  ["integer", (value) => typeof value === "number" && Number.isInteger(value)],
  ["boolean", (value) => typeof value === "boolean"],
  ["array", (value) => Array.isArray(value)],
  ["object", (value) => asSchema(value) !== null],
  ["null", (value) => value === null],
]);

function compileType(schema: Schema): Check[] {
  const type = schema["type"];
  const names = (Array.isArray(type) ? type : [type]).filter((name) => typeof name === "string");
  const tests = names.map((name) => typeTests.get(name)).filter((test) => test !== undefined);
  if (tests.length === 0 || tests.length < names.length) return [];
  const isExact = names.includes("integer") && !names.includes("number");
  return [
    (value, field, { report }) => {
      if (!tests.some((test) => test(value))) report(field, mistyped(names, value), names);
      // It may have been another number in the text: a model must not get what nobody sent.
      else if (isExact && typeof value === "number" && !Number.isSafeInteger(value))
        report(field, `must be from ${Number.MIN_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}`);
    },
  ];
}

function mistyped(types: readonly string[], value: Json): string {
  return `must be of type ${types.join(" or ")}, not ${typeName(value)}`;
}

function compileValues(schema: Schema): Check[] {
  const allowed = Array.isArray(schema["enum"])
    ? schema["enum"]
    : Object.hasOwn(schema, "const")
      ? [schema["const"] ?? null]
      : null;
  if (allowed === null) return [];
  const simple = new Set(allowed.filter((one) => !isComposite(one)));
  const composite = allowed.filter(isComposite);
  const compositeSteps = Math.ceil(JSON.stringify(composite).length / CHARACTERS_A_STEP);
  const list = allowed
    .slice(0, MAX_SHOWN_VALUES)
    .map((one) => JSON.stringify(one))
    .join(", ");
  return [
    (value, field, run) => {
      if (isComposite(value)) run.spend(compositeSteps);
      const fits = isComposite(value) ? composite.some((one) => isSame(one, value)) : simple.has(value);
      if (!fits) run.report(field, `must be one of ${list}`);
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
    const check: Check = (value, field, { report }) => {
      if (typeof value === "number" && !holds(value, bound)) report(field, `${words} ${bound}`);
    };
    return [check];
  });
}

function compileString(schema: Schema): Check[] {
  const checks = compileLength(schema, "Length", "characters", (value) =>
    typeof value === "string" ? codePoints(value) : null,
  );
  // One that can't be run in linear time is left to the model.
  const pattern = typeof schema["pattern"] === "string" ? compileLinearPattern(schema["pattern"]) : null;
  if (pattern !== null) {
    checks.push((value, field, run) => {
      if (typeof value !== "string" || pattern.test(value, (steps) => run.spend(steps))) return;
      run.report(field, `must match the pattern ${pattern.source}`);
    });
  }
  if (schema["format"] === "uri") {
    checks.push((value, field, { report }) => {
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
  checks.push((value, field, run) => {
    if (Array.isArray(value)) for (const [index, item] of value.entries()) check(item, `${field}.${index}`, run);
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
    (value, field, run) => {
      const object = asSchema(value);
      if (object === null) return;
      const { report } = run;
      run.spend(required.length + properties.length);
      for (const name of required) if (!Object.hasOwn(object, name)) report(`${field}.${name}`, "is required");
      for (const { name, check } of properties) {
        if (Object.hasOwn(object, name)) check(object[name] ?? null, `${field}.${name}`, run);
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
  const anyFits: Check = (value, field, run) => {
    const failed: Problem[][] = [];
    for (const alternative of alternatives) {
      const { fields, report } = collector();
      alternative(value, field, run.reportingTo(report));
      if (fields.length === 0) return;
      failed.push(fields);
    }
    run.spend(failed.length * STEPS_A_MISFIT);
    reportNearest(failed, value, field, run.report);
  };
  return [...all, anyFits];
}

/**
 * Reports why a value fits none of several alternatives: what is wrong inside it by the one that comes nearest, where
 * one is of its type; else what is wrong with it by all that are of its type; else which types it may have.
 */
function reportNearest(failed: readonly Problem[][], value: Json, field: string, report: Report): void {
  const [nearest] = failed
    .filter((problems) => problems.every((problem) => problem.field !== field))
    .toSorted((a, b) => a.length - b.length);
  if (nearest !== undefined) {
    for (const problem of nearest) report(problem.field, problem.description, problem.types);
    return;
  }
  const problems = failed.flat().filter((problem) => problem.field === field);
  const types = [...new Set(problems.flatMap((problem) => problem.types ?? []))];
  const others = new Set(problems.filter((problem) => problem.types === undefined).map((one) => one.description));
  if (others.size > 0) report(field, [...others].slice(0, MAX_SHOWN_VALUES).join(", or "));
  else report(field, mistyped(types, value), types);
}

function compileLength(schema: Schema, noun: string, unit: string, measure: (value: Json) => number | null): Check[] {
  const min = schema[`min${noun}`];
  const max = schema[`max${noun}`];
  const checks: Check[] = [];
  if (typeof min === "number") {
    checks.push((value, field, { report }) => {
      if ((measure(value) ?? min) < min) report(field, `must have at least ${min} ${unit}`);
    });
  }
  if (typeof max === "number") {
    checks.push((value, field, { report }) => {
      if ((measure(value) ?? max) > max) report(field, `must have at most ${max} ${unit}`);
    });
  }
  return checks;
}

function isComposite(value: Json): boolean {
  return typeof value === "object" && value !== null;
}

/** Whether two JSON values are the same, whatever the order of their keys. Takes no longer than `one` is large. */
function isSame(one: Json, other: Json): boolean {
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => isSame(item, other[index] ?? null));
  }
  const [first, second] = [asSchema(one), asSchema(other)];
  if (first === null || second === null) return one === other;
  const names = Object.keys(first);
  if (names.length !== Object.keys(second).length) return false;
  return names.every((name) => Object.hasOwn(second, name) && isSame(first[name] ?? null, second[name] ?? null));
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
