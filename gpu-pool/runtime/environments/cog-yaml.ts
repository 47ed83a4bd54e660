/**
 * What Edgeplane reads of a model's `cog.yaml`: Cog's own keys (source: replicate/cog, docs/yaml.md) and one of ours,
 * `edgeplane` (edgeplane-keys.ts). Keys of Cog that don't matter here are let through.
 */
import * as z from "zod";
import { EdgeplaneKeysSchema } from "./edgeplane-keys.ts";

/** YAML reads an unquoted `3.10` as the number 3.1, and there is no other Python 3.1 that anybody means. */
const PythonVersionSchema = z
  .union([z.string(), z.number().transform((version) => (version === 3.1 ? "3.10" : String(version)))])
  .pipe(z.string().regex(/^3\.\d{1,2}(\.\d{1,3})?$/, 'a Python version such as "3.12" or "3.12.4"'));

const BuildStepSchema = z.union([z.string(), z.looseObject({ command: z.string() }).transform((step) => step.command)]);

export const BuildSchema = z.looseObject({
  gpu: z.boolean().optional(),
  cuda: z.union([z.string(), z.number().transform(String)]).optional(),
  python_version: PythonVersionSchema.optional(),
  python_packages: z.array(z.string()).nullish(),
  python_requirements: z.string().nullish(),
  system_packages: z.array(z.string()).nullish(),
  run: z.array(BuildStepSchema).nullish(),
});

export const CogYamlSchema = z.looseObject({
  build: BuildSchema.nullish().transform((build) => build ?? {}),
  run: z.string().optional(),
  predict: z.string().optional(),
  image: z.string().optional(),
  /** `NAME=value` pairs for the model's process. */
  environment: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*=/, "NAME=value")).nullish(),
  concurrency: z.looseObject({ max: z.number().int().min(1).max(1024).optional() }).nullish(),
  edgeplane: EdgeplaneKeysSchema.nullish().transform((keys) => keys ?? EdgeplaneKeysSchema.parse({})),
});
export type CogYaml = z.infer<typeof CogYamlSchema>;

/** The predictor's reference, as in `run.py:Runner`; undefined leaves the choice to the model process. */
export function predictorReference(cog: CogYaml): string | undefined {
  return cog.run ?? cog.predict;
}
