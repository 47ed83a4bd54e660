/** How a model runs here: what its folder says, and what the edge says in place of that. */
import { instancesOf } from "../../../src/contract/model-configuration.ts";
import type { ModelConfiguration } from "../../../src/contract/model-configuration.ts";
import type { BatchingOptions } from "../../scheduling/batching/batch-limits.ts";
import { bucketsUpTo, powersOfTwo } from "../../scheduling/batching/buckets.ts";
import type { Buckets } from "../../scheduling/batching/buckets.ts";
import type { CogYaml } from "../environments/cog-yaml.ts";
import type { FolderKeys } from "./find-models.ts";
import type { Model } from "./model.ts";

type Keys = CogYaml["edgeplane"];
/** The part of a model that the edge may change while it is served. */
export type Configured = Pick<Model, "cog" | "batching" | "placement" | "configuration">;

/** Throws where a key needs another one, and names it. */
export function configured({ cog, place }: FolderKeys, configuration: ModelConfiguration): Configured {
  const keys = keysWith(cog.edgeplane, configuration);
  return {
    configuration,
    cog: { ...cog, edgeplane: keys },
    batching: batchingOf(keys, place),
    placement: {
      count: keys.instances?.count ?? null,
      devices: keys.instances?.devices ?? null,
      devicesPerInstance: keys.devicesPerInstance,
      memoryHint: keys.deviceMemoryBytes ?? null,
      pinned: keys.pinned,
    },
  };
}

/**
 * Where folder and configuration don't fit, as the folder says alone, and why. Throws where that isn't right either.
 */
export function configuredIfFits(
  files: FolderKeys,
  configuration: ModelConfiguration,
): Configured & Pick<Model, "misconfigured"> {
  const byFiles = configured(files, {});
  try {
    return configured(files, configuration);
  } catch (error) {
    return { ...byFiles, misconfigured: error instanceof Error ? error.message : String(error) };
  }
}

/** Changes a model that is served. Throws, and changes nothing, where the folder and the configuration don't fit. */
export function reconfigure(model: Model, configuration: ModelConfiguration): void {
  const { batching, ...others } = configured(model.files, configuration);
  // The scheduler goes by this very object.
  Object.assign(model.batching, batching);
  Object.assign(model, others);
}

/** What a process is launched with: one that was launched with something else has to make way for another. */
export function launchKey({ cog: { edgeplane: keys } }: Model): string {
  const { batchesInFlight, silenceTimeoutMs, progressTimeoutMs, memoryBytes, scratchBytes } = keys;
  return JSON.stringify([batchesInFlight, silenceTimeoutMs, progressTimeoutMs, memoryBytes, scratchBytes]);
}

function keysWith(keys: Keys, { instances, ...others }: ModelConfiguration): Keys {
  return Object.assign({ ...keys }, others, instances === undefined ? {} : { instances: instancesOf(instances) });
}

/** Throws where a key needs another one. */
export function batchingOf(keys: Keys, place: string): BatchingOptions {
  const { cost, maxBatchCost, costBuckets, latencyObjectiveMs, dropLate } = keys;
  if (cost === undefined && (maxBatchCost !== undefined || costBuckets !== undefined))
    throw new Error(`${place}cost: maxBatchCost and costBuckets need it: say what a prediction costs`);
  const buckets = costBuckets === undefined ? undefined : bucketsOf(costBuckets);
  const { maxBatchSize = 1, maxQueueDelayMs = 0 } = keys;
  return { maxBatchSize, maxQueueDelayMs, maxBatchCost, buckets, latencyObjectiveMs, dropsLate: dropLate };
}

function bucketsOf(said: NonNullable<Keys["costBuckets"]>): Buckets {
  return said === "powers-of-two" ? powersOfTwo : bucketsUpTo(said);
}
