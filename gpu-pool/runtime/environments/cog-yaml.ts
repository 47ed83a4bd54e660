/**
 * What Edgeplane reads of a model's `cog.yaml`: Cog's own keys (source: replicate/cog, docs/yaml.md) and one of ours,
 * `edgeplane`. Keys of Cog that don't matter here are let through; an unknown key under `edgeplane` is refused, since
 * it is likely a typing error.
 */
import * as z from "zod";

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

export const EdgeplaneKeysSchema = z.strictObject({
  /** False: the folder is skipped unless a setting of the pool names it. */
  enabled: z.boolean().default(true),
  description: z.string().max(4096).optional(),
  /** A model with `build.gpu` may run on the CPU where the host has no GPU that it could use. */
  cpuFallback: z.boolean().default(false),
  lane: z.string().optional(),
  maxBatchSize: z.number().int().min(1).max(4096).optional(),
  maxQueueDelayMs: z.number().min(0).max(60_000).optional(),
  startTimeoutMs: z.number().int().min(1000).optional(),
  totalTimeoutMs: z.number().int().min(1000).optional(),
  resumesDeterministically: z.boolean().optional(),
  /** How long `setup()` and one prediction may take. */
  setupTimeoutMs: z.number().int().min(1000).optional(),
  predictTimeoutMs: z.number().int().min(1).optional(),
  /** A process without a sign of life for so long hangs; and one that runs something and says nothing of it. */
  silenceTimeoutMs: z.number().int().min(2000).optional(),
  progressTimeoutMs: z.number().int().min(1000).optional(),
  /** Failures in a row after which a process that was well is replaced; 0: never. */
  recycleAfterFailures: z.number().int().min(0).max(10_000).default(20),
  /** What one process takes of each of its devices, as the author knows it. */
  deviceMemoryBytes: z.number().int().min(0).optional(),
  /** How many devices one process spans. */
  devicesPerInstance: z.number().int().min(1).max(64).default(1),
  /** Started with the pool, and never ended for another model or for want of work. */
  pinned: z.boolean().default(false),
  /** Address space that one model process may use. */
  memoryLimitBytes: z
    .number()
    .int()
    .min(64 * 1024 * 1024)
    .optional(),
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
