/** Gives batches to processes: to a free slot, where they begin, or behind one that runs, until the child says so. */
import type { Batch } from "../scheduling/batcher.ts";
import type { BatchLimits, Shape } from "../scheduling/batching/batch-limits.ts";
import type { Loaded } from "./child-messages.ts";
import { holdDevices } from "./device-turns.ts";
import { runItems } from "./inputs.ts";
import type { Instance } from "./instance.ts";
import type { Instances } from "./instances.ts";
import { beginRun } from "./item-messages.ts";
import type { RunLimits } from "./item-messages.ts";
import type { Model } from "./models/model.ts";
import type { Prediction } from "./prediction.ts";
import type { PredictionQueue } from "./prediction-queue.ts";
import { Run } from "./run.ts";
import type { Dispatched } from "./runner-options.ts";

/** What every batch of a model is given with. `loaded`: what its code says of it. */
export type DispatchContext = {
  limits: BatchLimits;
  model: Pick<Model, "cost">;
  loaded: Loaded | null;
  run: RunLimits;
};

/**
 * How batches are given. `runMs`: what runs took lately; null before the first. `leftIn`: what a batch may take of
 * memory in that instance, in bytes; Infinity where nobody knows.
 */
export type Giving = {
  nowMs: number;
  runMs: number | null;
  leftIn(instance: Instance): number;
  give(instance: Instance, batch: Batch<Prediction>): void;
};

/** The next batch waits in the process behind runs that take no longer than this. */
const SOON_MS = 1000;

/** Gives the batches that are due to free slots, and full ones behind those that end soon, as far as there is place. */
export function dispatchAll(instances: Instances, queue: PredictionQueue, giving: Giving): void {
  const { nowMs, runMs, leftIn, give } = giving;
  const isShort = runMs !== null && runMs <= SOON_MS;
  let resting: Instance | null = null;
  for (let free = instances.roomiest(); free !== null; free = instances.roomiest(resting)) {
    queue.limits.leaves(leftIn(free));
    const isIdle = free.runs.size === 0;
    const batch: Batch<Prediction> | null =
      resting === null
        ? queue.take(nowMs, isIdle, false, slotsForGroup(free, queue, isShort))
        : queue.takeBeside(nowMs);
    if (batch === null) {
      if (resting !== null || !queue.isSuspectNext) break;
      resting = restingOf(instances, isShort) ?? free;
      continue;
    }
    give(free, batch);
    if (batch.exclusive) giveRest(free, queue, give);
  }
  for (const instance of instances.all) {
    instance.isResting = instance === resting;
    giveRest(instance, queue, give);
  }
  for (let busy = isShort || runMs === null ? instances.ahead : null; busy !== null; busy = instances.ahead) {
    queue.limits.leaves(leftIn(busy));
    const batch = queue.take(nowMs, false, true);
    if (batch === null) break;
    give(busy, batch);
  }
}

/**
 * The instance that suspects wait for while the others go on: one that runs nothing but suspects already, or one that
 * loads, where others would take long to come to rest. Null where there is neither: every instance is as good.
 */
function restingOf({ all }: Instances, isShort: boolean): Instance | null {
  const loading = isShort ? undefined : all.find(({ placement }) => placement === "loading");
  return all.find(({ group }) => group !== null) ?? loading ?? null;
}

/**
 * In how many slots a group of suspects runs. Short runs are over sooner one after the other, where the first that dies
 * is the culprit, than a process is loaded again for each half that dies.
 */
function slotsForGroup({ process }: Instance, { limits }: PredictionQueue, isShort: boolean): number {
  return isShort && limits.options.maxBatchSize === 1 ? 1 : (process?.slots ?? 1);
}

/** Gives an instance the rest of the group that it runs: its members ran side by side when their process died. */
function giveRest(instance: Instance, queue: PredictionQueue, give: Giving["give"]): void {
  const { group } = instance;
  while (group !== null && instance.group === group && instance.freeSlots > 0) {
    const batch = queue.more(group);
    if (batch === null) return;
    give(instance, batch);
  }
}

/** Throws where this host can't hand the inputs over. Answers what telemetry hears. */
export function dispatch(
  number: number,
  instance: Instance,
  batch: Batch<Prediction>,
  { limits, model, loaded, run: runLimits }: DispatchContext,
): Dispatched {
  const { process } = instance;
  if (process === null) throw new Error("the process is gone");
  const predictions = predictionsOf(batch);
  for (const prediction of predictions) prediction.stage = "sent";
  const run = new Run({
    number,
    predictions,
    devices: instance.devices,
    exclusive: batch.exclusive,
    startedAtMs: runLimits.nowMs,
    hasBegun: false,
    shape: shapeOf(predictions, limits),
    isOneCall: predictions.length === 1 || loaded?.batch === true,
  });
  run.group = batch.exclusive ? (batch.tickets[0]?.group ?? null) : null;
  if (process.freeSlots > 0) beginRun(run, runLimits);
  const items = runItems(predictions, process.origin.scratchDir, process.fileOwner);
  run.slot = process.run({ type: "run", batch: number, items });
  instance.runs.set(number, run);
  holdDevices(instance.runs.values(), run.slot, runLimits.meter);
  for (const prediction of predictions) prediction.inRun = true;
  return dispatchedOf(batch, run, model.cost !== null);
}

/** For people: the system's code, where it is the system that refused. */
export function whyNotDispatched(error: unknown): string {
  const why = error instanceof Error && "code" in error ? String(error.code) : "its input can't be written";
  return `The host could not hand the input to the model process: ${why}.`;
}

export function predictionsOf({ tickets }: Batch<Prediction>): Prediction[] {
  return tickets.map(({ payload }) => payload);
}

/** How large a batch of these is. */
export function shapeOf(predictions: readonly Prediction[], limits: BatchLimits): Shape {
  const largest = Math.max(...predictions.map(({ batchCost }) => batchCost ?? 1));
  return { size: predictions.length, cost: predictions.length * largest, bucket: limits.bucketOf(largest) };
}

function dispatchedOf({ tickets, reason }: Batch<Prediction>, run: Run, hasCost: boolean): Dispatched {
  const waitsMs = tickets.map(({ enqueuedAtMs }) => run.startedAtMs - enqueuedAtMs);
  const sum = tickets.reduce((total, { cost }) => total + cost, 0);
  const { size, cost } = run.shape;
  const isMeasured = hasCost && cost > 0 && cost < Infinity;
  return { size, reason, waitsMs, waste: isMeasured ? 1 - sum / cost : null };
}
