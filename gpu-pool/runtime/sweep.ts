/** What time alone does to the predictions that a model holds: deadlines, ends of grace, waits that are too long. */
import { capacityOf } from "../scheduling/room.ts";
import type { ModelLoad } from "../scheduling/room.ts";
import type { Instances } from "./instances.ts";
import { killFor } from "./kill-for.ts";
import type { Prediction } from "./prediction.ts";
import type { PredictionQueue } from "./prediction-queue.ts";

/** What was taken ahead should begin within this time. */
const LATE_MS = 500;

/** Stops those whose time is up, and kills the processes of those that did not stop in their time of grace. */
export function sweepDeadlines(
  held: readonly Prediction[],
  instances: Instances,
  nowMs: number,
  stop: (token: string) => void,
): void {
  for (const prediction of held) {
    const isLate = nowMs >= Math.min(prediction.endByMs, prediction.runEndByMs);
    if (isLate && prediction.ending === null) stop(prediction.ref.token);
    if (prediction.stage === "running" && nowMs >= prediction.killAtMs) killFor(prediction, instances);
  }
}

/**
 * Takes out what was taken ahead and won't begin soon after all, since a run takes longer than runs did: from the
 * queue, and from the processes that it waits in. Another pool may have room for it.
 */
export function lateOnes(
  load: ModelLoad,
  aheadBatches: number,
  { queue, instances }: { queue: PredictionQueue; instances: Instances },
  nowMs: number,
): Prediction[] {
  const excess = load.waiting - capacityOf(load, aheadBatches);
  const late = queue.takeLast(excess, nowMs - LATE_MS);
  if (excess <= late.length) return late;
  const sent = instances.sent(nowMs - LATE_MS);
  for (const prediction of sent) instances.withdraw(prediction);
  return [...late, ...sent];
}
