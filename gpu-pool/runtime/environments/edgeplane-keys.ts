/**
 * What a model's author tells Edgeplane: the section `edgeplane` of `cog.yaml`, or the file `edgeplane.yaml` beside it,
 * which have the same keys. An unknown one is refused, since it is likely a typing error. The table in docs/models.md
 * names each of them.
 */
import * as z from "zod";
import { MAX_MODEL_SECRETS, SecretNameSchema } from "../../../src/contract/model-secrets.ts";
import { BucketsSchema, CostSchema } from "./batching-keys.ts";

const CountSchema = z.number().int().min(1).max(64);
/** nvidia-smi's number of a device, or the id of a part of one. */
const DeviceIdSchema = z.union([z.number().int().min(0).transform(String), z.string().min(1).max(128)]);

export const EdgeplaneKeysSchema = z.strictObject({
  /** False: the folder is skipped unless a setting of the pool names it. */
  enabled: z.boolean().default(true),
  description: z.string().max(4096).optional(),
  /** A model with `build.gpu` may run on the CPU where the host has no GPU that it could use. */
  cpuFallback: z.boolean().default(false),
  lane: z.string().optional(),
  maxBatchSize: z.number().int().min(1).max(4096).optional(),
  maxQueueDelayMs: z.number().min(0).max(60_000).optional(),
  /** What a prediction costs by its inputs, the most cost of a batch, and which costs run together. */
  cost: CostSchema.optional(),
  maxBatchCost: z.number().positive().optional(),
  costBuckets: BucketsSchema.optional(),
  /** How long a prediction should take in the pool: its wait for company, and its run. */
  latencyObjectiveMs: z.number().positive().max(3_600_000).optional(),
  /** What can't end by its deadline any more doesn't begin. */
  dropLate: z.boolean().default(false),
  /** Batches that a process of a synchronous model has at a time: with 2, the next is made ready while one runs. */
  batchesInFlight: z.number().int().min(1).max(2).default(1),
  startTimeoutMs: z.number().int().min(1000).optional(),
  totalTimeoutMs: z.number().int().min(1000).optional(),
  resumesDeterministically: z.boolean().optional(),
  /** The same input always has the same output. */
  deterministic: z.boolean().optional(),
  /** How long `setup()` and one prediction may take. */
  setupTimeoutMs: z.number().int().min(1000).optional(),
  predictTimeoutMs: z.number().int().min(1).optional(),
  /** The most processes, and the devices that they may use. Default: one a device, on any. */
  instances: z
    .union([
      CountSchema.transform((count) => ({ count, devices: undefined })),
      z.strictObject({ count: CountSchema.optional(), devices: z.array(DeviceIdSchema).min(1).max(64).optional() }),
    ])
    .optional(),
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
  /** The secrets that its processes need, which its owner sets at the edge. */
  secrets: z.array(SecretNameSchema).max(MAX_MODEL_SECRETS).default([]),
  /** False: its processes reach no network, where the host isolates them by namespaces. */
  network: z.boolean().default(true),
  /** Memory that one model process, with what it started, may use, and what its scratch folder may hold. */
  memoryBytes: z
    .number()
    .int()
    .min(64 * 1024 * 1024)
    .optional(),
  scratchBytes: z
    .number()
    .int()
    .min(1024 * 1024)
    .optional(),
  /** Address space that one model process may use. */
  memoryLimitBytes: z
    .number()
    .int()
    .min(64 * 1024 * 1024)
    .optional(),
});
