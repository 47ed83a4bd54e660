/** What a model's runs teach its batches: how long they took, and which were too large for the device's memory. */
import type { Batch } from "../scheduling/batcher.ts";
import type { BatchLimits, Shape } from "../scheduling/batching/batch-limits.ts";
import type { Death } from "./model-process.ts";
import { isOutOfMemory } from "./out-of-memory.ts";
import type { Prediction } from "./prediction.ts";
import type { Run } from "./run.ts";
import type { Dispatched } from "./runner-options.ts";

/** How large a batch of these is. */
export function shapeOf(predictions: readonly Prediction[], limits: BatchLimits): Shape {
  const largest = Math.max(...predictions.map(costOf));
  return { size: predictions.length, cost: predictions.length * largest, bucket: limits.bucketOf(largest) };
}

/** What telemetry hears of a batch that was given to a process. `hasCost`: its model says what predictions cost. */
export function dispatchedOf({ tickets, reason }: Batch<Prediction>, run: Run, hasCost: boolean): Dispatched {
  const waitsMs = tickets.map(({ enqueuedAtMs }) => run.startedAtMs - enqueuedAtMs);
  const sum = tickets.reduce((total, { cost }) => total + cost, 0);
  const { size, cost } = run.shape;
  const isMeasured = hasCost && cost > 0 && cost < Infinity;
  return { size, reason, waitsMs, waste: isMeasured ? 1 - sum / cost : null };
}

/** A run is over, `ms` after its start. */
export function learnFromRun(run: Run, ms: number, limits: BatchLimits): void {
  if (!run.isOneCall) return;
  const errors = run.errors();
  if (errors.length === 0) limits.ran(run.shape, ms);
  else if (errors.some(isOfMemory)) ranOut(run, limits);
}

/** A process died with these runs, which may have been too large for the host's memory. */
export function learnFromDeath(runs: readonly Run[], death: Death, limits: BatchLimits): void {
  if (death.expected || death.hung || death.deviceError) return;
  for (const run of runs) if (run.isOneCall) ranOut(run, limits);
}

/** Of the device's, or of the host's, as the child says it. */
function isOfMemory(message: string): boolean {
  return message.startsWith("MemoryError: ") || isOutOfMemory({ message, traceback: "" });
}

function ranOut({ shape }: Run, { memory }: BatchLimits): void {
  if (shape.size === 1) memory.wasOneInput();
  else memory.ranOut(shape.cost);
}

function costOf({ batchCost }: Prediction): number {
  return batchCost ?? 1;
}
