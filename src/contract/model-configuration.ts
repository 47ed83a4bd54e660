/**
 * How a model runs, as its files say it (`edgeplane` in cog.yaml, or edgeplane.yaml), as its row in the registry says
 * it instead, and as a deployment says it instead of both. One schema for all: docs/models.md has the table.
 */
import * as z from "zod";
import { HeardModelScalingSchema, ModelScalingSchema } from "./model-scaling.ts";

const MIB = 1024 * 1024;
const CountSchema = z.number().int().min(1).max(64);
/** nvidia-smi's number of a device, or the id of a part of one. */
const DeviceIdSchema = z.union([z.number().int().min(0), z.string().min(1).max(128)]);
const TimeoutSchema = z.number().int().min(1000);
/** As the manifest has it. */
const DeadlineSchema = TimeoutSchema.max(7 * 86_400_000);

/** What a row may say instead of the files; each key by itself, without its default. */
export const configurableKeys = {
  maxBatchSize: z.number().int().min(1).max(4096),
  maxQueueDelayMs: z.number().min(0).max(60_000),
  /** The most cost of a batch. */
  maxBatchCost: z.number().positive(),
  /** How long a prediction should take in the pool: its wait for company, and its run. */
  latencyObjectiveMs: z.number().positive().max(3_600_000),
  /** What can't end by its deadline any more doesn't begin. */
  dropLate: z.boolean(),
  /** Batches that a process of a synchronous model has at a time: with 2, the next is made ready while one runs. */
  batchesInFlight: z.number().int().min(1).max(2),
  startTimeoutMs: DeadlineSchema,
  totalTimeoutMs: DeadlineSchema,
  /** How long `setup()` and one prediction may take. */
  setupTimeoutMs: TimeoutSchema,
  predictTimeoutMs: z.number().int().min(1),
  /** The most processes, and the devices that they may use. Default: one a device, on any. */
  instances: z.union([
    CountSchema,
    z.strictObject({ count: CountSchema.optional(), devices: z.array(DeviceIdSchema).min(1).max(64).optional() }),
  ]),
  /** A process without a sign of life for so long hangs; and one that runs something and says nothing of it. */
  silenceTimeoutMs: z.number().int().min(2000),
  progressTimeoutMs: TimeoutSchema,
  /** Failures in a row after which a process that was well is replaced; 0: never. */
  recycleAfterFailures: z.number().int().min(0).max(10_000),
  /** What one process takes of each of its devices, as the author knows it. */
  deviceMemoryBytes: z.number().int().min(0),
  /** How many devices one process spans. */
  devicesPerInstance: z.number().int().min(1).max(64),
  /** Started with the pool, and never ended for another model or for want of work. */
  pinned: z.boolean(),
  /** Memory that one model process, with what it started, may use, and what its scratch folder may hold. */
  memoryBytes: z
    .number()
    .int()
    .min(64 * MIB),
  scratchBytes: z.number().int().min(MIB),
  /** Its machines, where the edge rents them. */
  scaling: ModelScalingSchema,
} as const;

export const ModelConfigurationSchema = z
  .strictObject(configurableKeys)
  .partial()
  .meta({ id: "ModelConfiguration", description: "What holds instead of what the model's files say." });
export type ModelConfiguration = z.output<typeof ModelConfigurationSchema>;

/** These go with each prediction: a deployment says them of its own. All others hold for whatever runs the version. */
export const ownKeys = ["startTimeoutMs", "totalTimeoutMs", "predictTimeoutMs"] as const;
const isOwn: ReadonlySet<string> = new Set(ownKeys);

/** What a configuration says for all predictions of the version, whoever makes them. */
export function sharedOf(configuration: ModelConfiguration): ModelConfiguration {
  return Object.fromEntries(Object.entries(configuration).filter(([key]) => !isOwn.has(key)));
}

/** What pools are told, of the models that have any. */
export const ConfigurationsSchema = z.object({
  /** By `owner/name`. */
  configurations: z.record(z.string(), ModelConfigurationSchema),
  /** By `owner/name:version`: what deployments of the owner say, and holds before that. */
  versions: z.record(z.string(), ModelConfigurationSchema).default({}),
});

const HeardSchema = z.object({ ...configurableKeys, scaling: HeardModelScalingSchema }).partial();

/** The same, as a pool reads it: keys that only a later release's edge knows are passed over. */
export const HeardConfigurationsSchema = z.object({
  configurations: z.record(z.string(), HeardSchema),
  versions: z.record(z.string(), HeardSchema).default({}),
});

/** `instances`, however it was said. */
export function instancesOf(said: NonNullable<ModelConfiguration["instances"]>): {
  count: number | undefined;
  devices: string[] | undefined;
} {
  if (typeof said === "number") return { count: said, devices: undefined };
  return { count: said.count, devices: said.devices?.map(String) };
}
