/** What becomes of the predictions of a run that is over, or whose process died. */
import { sortOut } from "./aftermath.ts";
import type { Held } from "./held.ts";
import type { Instance } from "./instance.ts";
import type { Death } from "./model-process.ts";
import type { Prediction, Reporter } from "./prediction.ts";
import type { PredictionQueue } from "./prediction-queue.ts";
import type { Run } from "./run.ts";

/**
 * The slot is free again. Answers those whose batch call raised and that have to run again; one alone is what it is.
 */
export function settleRun(run: Run, held: Held, report: Reporter): Prediction[] {
  const raised = run.raised();
  for (const { prediction } of run.unfinished()) {
    report.failed(prediction.ref, "model", "model_error", "the model process reported no result");
    held.ended(prediction, "failed");
  }
  const [only] = raised;
  if (only === undefined || run.size > 1) {
    for (const { prediction } of raised) report.again(prediction.ref, "bisected");
    return raised.map(({ prediction }) => prediction);
  }
  report.failed(only.prediction.ref, "model", "model_error", only.batchError ?? "the batch failed");
  held.ended(only.prediction, "failed");
  return [];
}

/** The process died. Who was innocent waits again; answers those of whom one did it. */
export function sortOutDeath(
  runs: readonly Run[],
  death: Death,
  held: Held,
  queue: PredictionQueue,
  report: Reporter,
): Prediction[] {
  const isHeld = ({ stage }: Prediction): boolean => stage !== "ended";
  const { stopped, innocent, bystanders, suspects } = sortOut(runs, death.expected);
  for (const prediction of stopped.filter(isHeld)) held.stopped(prediction);
  for (const { ref } of bystanders.filter(isHeld)) report.again(ref, "lost");
  queue.addBack(bystanders.filter(isHeld), false);
  queue.addBack(innocent.filter(isHeld), true);
  return suspects.filter(isHeld);
}

/**
 * What becomes of the suspects; answers those that run again. A device that breaks with one after the other is at fault
 * itself, and one that ran alone when its process died did it.
 */
export function answerDeath(
  suspects: readonly Prediction[],
  instance: Instance,
  death: Death,
  held: Held,
  report: Reporter,
): readonly Prediction[] {
  const [only] = suspects;
  if (only === undefined) return [];
  if (death.deviceError && instance.isSick(only.ref.id)) {
    const message = `its device broke again and again: ${death.why}`;
    for (const prediction of suspects) held.release(prediction, "setup", message);
    instance.fail({ message, traceback: "" });
    return [];
  }
  if (suspects.length > 1) {
    for (const { ref } of suspects) report.again(ref, "bisected");
    return suspects;
  }
  const code = death.hung ? "model_unresponsive" : "model_crashed";
  report.failed(only.ref, "crash", code, `The model process died while it ran this prediction: ${death.why}.`);
  held.ended(only, "crashed");
  return [];
}
