/** What one model does here and could take, as room is computed from it (scheduling/room.ts). */
import { modelPath } from "../../src/contract/manifest.ts";
import type { Lately } from "../scheduling/lately.ts";
import type { ModelLoad } from "../scheduling/room.ts";
import type { Instances } from "./instances.ts";
import type { Model } from "./models/model.ts";
import type { PlacedModel } from "./placement/placed-model.ts";
import type { Readiness } from "./readiness.ts";

/** `onHold`: it takes nothing, as the pool drains. */
export type Counts = Pick<ModelLoad, "waiting" | "counted" | "picks"> & {
  /** What batches took. */
  runMs: Lately;
  /** All that it was granted. */
  held: number;
  onHold: boolean;
  pausedBy: string | null;
};

export function loadOf(
  model: Model,
  instances: Instances,
  readiness: Readiness,
  counts: Counts,
  placed: PlacedModel,
  nowMs: number,
): ModelLoad {
  const { held, onHold, pausedBy, runMs, ...load } = counts;
  // After a set-up that failed, one prediction is a try.
  const limit = readiness.isTrying ? Math.max(0, 1 - held) : Infinity;
  return {
    ...load,
    runMs: runMs.value,
    runs: runMs.count,
    model: modelPath(model.manifest),
    version: model.manifest.version,
    lane: model.manifest.lane,
    batch: model.batching.maxBatchSize,
    places: instances.all.map((instance, index) => instance.place(nowMs, placed.isWithoutPlace(index))),
    readyInMs: instances.ready ? 0 : readiness.readyInMs(instances.startingSinceMs, nowMs),
    problem: readiness.refusal,
    limit: onHold || pausedBy !== null || placed.isOut ? 0 : limit,
    pausedBy,
  };
}
