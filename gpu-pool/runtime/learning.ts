/** What a model's runs teach its batches: what they took of time and memory, and which were too large for that. */
import type { BatchLimits } from "../scheduling/batching/batch-limits.ts";
import type { Death } from "./model-process.ts";
import { isOutOfMemory } from "./out-of-memory.ts";
import type { Run } from "./run.ts";

/** A run is over, `ms` after its start. `takenBytes`: what it took of memory; null where nobody knows. */
export function learnFromRun(run: Run, ms: number, limits: BatchLimits, takenBytes: number | null = null): void {
  if (!run.isOneCall) return;
  const errors = run.errors();
  if (errors.length === 0 && takenBytes !== null) limits.memoryByCost.ran(run.shape.cost, takenBytes);
  if (errors.length === 0) limits.ran(run.shape, ms);
  else if (errors.some(isOfMemory)) ranOut(run, limits);
}

/**
 * A process died with these runs, which may have been too large for the host's memory, unless the kernel knows better.
 */
export function learnFromDeath(runs: readonly Run[], death: Death, limits: BatchLimits): void {
  if (death.expected || death.hung || death.deviceError || death.outOfMemory === false) return;
  for (const run of runs) if (run.isOneCall && run.hasBegun) ranOut(run, limits);
}

/** Of the device's, or of the host's, as the child says it. */
function isOfMemory(message: string): boolean {
  return message.startsWith("MemoryError: ") || isOutOfMemory({ message, traceback: "" });
}

function ranOut({ shape }: Run, { memory }: BatchLimits): void {
  if (shape.size === 1) memory.wasOneInput();
  else memory.ranOut(shape.cost);
}
