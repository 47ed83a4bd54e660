/**
 * Who did it, when a model process died. Pure. Whoever had begun is a suspect, unless the pool ended the process
 * because of somebody in particular; who had not begun is innocent and keeps the start that was counted.
 */
import type { Prediction } from "./prediction.ts";
import type { Run } from "./run.ts";

export type Aftermath = {
  /** Were being stopped anyway: this was their end. */
  stopped: Prediction[];
  /** Run again as if nothing had been; their counted start never happened. */
  innocent: Prediction[];
  /** Had begun, and the death is somebody else's: run again after a new start. */
  bystanders: Prediction[];
  /** One of them did it. */
  suspects: Prediction[];
};

/** `expected` says that the pool ended the process itself. */
export function sortOut(runs: readonly Run[], expected: boolean): Aftermath {
  const aftermath: Aftermath = { stopped: [], innocent: [], bystanders: [], suspects: [] };
  const began: Prediction[] = [];
  for (const run of runs) {
    const { suspects, innocent } = run.suspects();
    for (const { prediction } of innocent)
      (prediction.ending === null ? aftermath.innocent : aftermath.stopped).push(prediction);
    for (const { prediction } of [...run.raised(), ...suspects]) {
      (prediction.ending === null ? began : aftermath.stopped).push(prediction);
    }
  }
  if (expected) aftermath.bystanders = began;
  else aftermath.suspects = began;
  return aftermath;
}
