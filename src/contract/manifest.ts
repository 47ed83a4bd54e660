/** What a model says of itself, as a pool offers it and the registry keeps it. */
import * as z from "zod";
import { LaneNameSchema } from "./job.ts";
import { HeardModelScalingSchema } from "./model-scaling.ts";
import { MAX_NESTING, nestsWithin } from "./nesting.ts";
import { JsonSchema } from "./prediction.ts";

export const NameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "lower-case letters, digits, '.', '_' and '-'");

export const ManifestSchema = z.object({
  owner: NameSchema,
  name: NameSchema,
  /** SHA-256 of the model's files, in hexadecimal. */
  version: z.string().regex(/^[0-9a-f]{64}$/),
  description: z.string().max(4096).default(""),
  /**
   * The OpenAPI document of the version in Cog's shape (`components.schemas.Input` and `Output`); null until it first
   * loaded.
   */
  schema: z
    .record(z.string(), JsonSchema)
    .refine((schema) => nestsWithin(schema, MAX_NESTING), `nests deeper than ${MAX_NESTING} levels`)
    .nullable()
    .default(null),
  lane: LaneNameSchema.default("default"),
  maxBatchSize: z.number().int().min(1).max(4096).default(1),
  maxQueueDelayMs: z.number().min(0).max(60_000).default(0),
  /** Durations from acceptance: to start, and in all. */
  startTimeoutMs: z
    .number()
    .int()
    .min(1000)
    .max(7 * 86_400_000)
    .default(3_600_000),
  totalTimeoutMs: z
    .number()
    .int()
    .min(1000)
    .max(7 * 86_400_000)
    .default(7_200_000),
  /** True when a lost attempt that has streamed may run again and will yield the same chunks. */
  resumesDeterministically: z.boolean().default(false),
  /** How many processes always stand by on each of its hosts: `edgeplane.pinned` keeps one. */
  minInstances: z.number().int().min(0).max(1000).default(0),
  /** The machines that it asks for, where the edge rents them. */
  scaling: HeardModelScalingSchema.optional(),
  /** True when the same input always has the same output: plugins may answer it again without a run. */
  deterministic: z.boolean().default(false),
  /** How the client should read an iterator's output: `concatenate` joins the chunks to one text. */
  streams: z.enum(["no", "iterate", "concatenate"]).default("no"),
});
export type Manifest = z.infer<typeof ManifestSchema>;

/** `owner/name`. */
export function modelPath(model: { owner: string; name: string }): string {
  return `${model.owner}/${model.name}`;
}
