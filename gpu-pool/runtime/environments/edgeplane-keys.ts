/**
 * What a model's author tells Edgeplane: the section `edgeplane` of `cog.yaml`, or the file `edgeplane.yaml` beside it,
 * which have the same keys. An unknown one is refused, since it is likely a typing error. The table in docs/models.md
 * names each of them.
 */
import * as z from "zod";
import { configurableKeys, instancesOf } from "../../../src/contract/model-configuration.ts";
import { MAX_MODEL_SECRETS, SecretNameSchema } from "../../../src/contract/model-secrets.ts";
import { MAX_WEIGHTS, WeightSchema } from "./weight-keys.ts";
import { BucketsSchema, CostSchema } from "./batching-keys.ts";

const { dropLate, batchesInFlight, recycleAfterFailures, devicesPerInstance, pinned, instances, ...others } =
  configurableKeys;

export const EdgeplaneKeysSchema = z.strictObject({
  ...z.object(others).partial().shape,
  dropLate: dropLate.default(false),
  batchesInFlight: batchesInFlight.default(1),
  recycleAfterFailures: recycleAfterFailures.default(20),
  devicesPerInstance: devicesPerInstance.default(1),
  pinned: pinned.default(false),
  instances: instances.transform(instancesOf).optional(),
  /** False: the folder is skipped unless a setting of the pool names it. */
  enabled: z.boolean().default(true),
  description: z.string().max(4096).optional(),
  /** A model with `build.gpu` may run on the CPU where the host has no GPU that it could use. */
  cpuFallback: z.boolean().default(false),
  lane: z.string().optional(),
  /** What a prediction costs by its inputs, and which costs run together. */
  cost: CostSchema.optional(),
  costBuckets: BucketsSchema.optional(),
  resumesDeterministically: z.boolean().optional(),
  /** The same input always has the same output. */
  deterministic: z.boolean().optional(),
  /** The secrets that its processes need, which its owner sets at the edge. */
  secrets: z.array(SecretNameSchema).max(MAX_MODEL_SECRETS).default([]),
  /** Files of a pushed model that pools fetch from elsewhere. */
  weights: z.array(WeightSchema).max(MAX_WEIGHTS).default([]),
  /** False: its processes reach no network, where the host isolates them by namespaces. */
  network: z.boolean().default(true),
  /** Address space that one model process may use. */
  memoryLimitBytes: z
    .number()
    .int()
    .min(64 * 1024 * 1024)
    .optional(),
});
