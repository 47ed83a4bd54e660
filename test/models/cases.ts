/** The cases of the model folders (`cases.json`) and how a result is compared with one. */
import { readFileSync } from "node:fs";
import * as z from "zod";
import { isObject, type ItemResult, type Json, JsonSchema } from "./driver.ts";

const ObjectSchema = z.record(z.string(), JsonSchema);

const CaseSchema = z.strictObject({
  input: JsonSchema,
  context: ObjectSchema.optional(),
  /** `any`: whatever comes, the process must live on. */
  status: z.enum(["succeeded", "failed", "any"]).default("succeeded"),
  /** Compared whole; `{"$text": …, "mediaType": …}` stands for a file with that content. */
  output: JsonSchema.optional(),
  chunks: z.array(JsonSchema).optional(),
  /** Parts that the error, or the log, must hold. */
  error: z.array(z.string()).default([]),
  /** Parts that the error holds instead where the pool refuses the input before the model sees it. */
  poolError: z.array(z.string()).optional(),
  logs: z.array(z.string()).default([]),
  notLogs: z.array(z.string()).default([]),
  metrics: ObjectSchema.optional(),
});
export type Case = z.infer<typeof CaseSchema>;

export const ModelCasesSchema = z.strictObject({
  cases: z.array(CaseSchema),
  /** A part of the schemas of `components.schemas`; null stands for absent. */
  schema: ObjectSchema.default({}),
  env: z.record(z.string(), z.string()).default({}),
  setupFails: z.string().optional(),
  traceback: z.string().optional(),
  minMinor: z.number().default(8),
  /** A package that must be importable, else the folder is left out. */
  needs: z.string().optional(),
  streams: z.string().default("no"),
  batch: z.boolean().default(false),
  async: z.boolean().optional(),
  concurrency: z.number().default(1),
});

/**
 * Whether `actual` has all that `wanted` has; the path of the first difference, or null. Objects may hold more, null
 * matches absent.
 */
export function missingPart(wanted: Json, actual: Json | undefined, path = "$"): string | null {
  if (wanted === null) return actual === undefined || actual === null ? null : path;
  if (isObject(wanted)) {
    if (!isObject(actual)) return path;
    for (const [key, value] of Object.entries(wanted)) {
      const found = missingPart(value, actual[key], `${path}.${key}`);
      if (found !== null) return found;
    }
    return null;
  }
  return JSON.stringify(wanted) === JSON.stringify(actual) ? null : path;
}

function withFileContents(value: Json): Json {
  if (Array.isArray(value)) return value.map(withFileContents);
  if (!isObject(value)) return value;
  const file = value["$file"];
  if (typeof file === "string") return { $text: readFileSync(file, "utf8"), mediaType: value["mediaType"] ?? null };
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withFileContents(inner)]));
}

/** What is wrong with a result; empty when it is as the case says. */
export function problemsOf(one: Case, result: ItemResult): string[] {
  const problems: string[] = [];
  const expectSame = (what: string, wanted: Json, actual: Json): void => {
    if (JSON.stringify(wanted) !== JSON.stringify(actual)) {
      problems.push(`${what}: wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(actual)}`);
    }
  };
  if (one.status !== "any") expectSame("status", one.status, result.status);
  if (one.output !== undefined) expectSame("output", one.output, withFileContents(result.output));
  if (one.chunks !== undefined) expectSame("chunks", one.chunks, result.chunks);
  if (one.metrics !== undefined) expectSame("metrics", one.metrics, result.metrics);
  for (const part of one.error)
    if (!result.error?.includes(part)) problems.push(`error: wanted ${JSON.stringify(part)} in ${result.error}`);
  for (const part of one.logs)
    if (!result.logs.includes(part))
      problems.push(`logs: wanted ${JSON.stringify(part)} in ${JSON.stringify(result.logs)}`);
  for (const part of one.notLogs)
    if (result.logs.includes(part)) problems.push(`logs: ${JSON.stringify(part)} is in ${JSON.stringify(result.logs)}`);
  if (problems.length > 0 && result.error !== null) problems.push(`(error: ${result.error})`);
  return problems;
}
