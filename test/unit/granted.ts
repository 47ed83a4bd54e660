/** A prediction as a grant makes it in a pool, to change at will. */
import { createPrediction } from "../../gpu-pool/runtime/prediction.ts";
import type { Prediction } from "../../gpu-pool/runtime/prediction.ts";
import { Run } from "../../gpu-pool/runtime/run.ts";

type Grant = Parameters<typeof createPrediction>[0];

export function granted(changes: Partial<Grant> = {}): Prediction {
  const grant: Grant = {
    id: "p",
    verdict: "granted",
    token: "token",
    attempt: 1,
    startNow: true,
    alone: false,
    model: { owner: "local", name: "m", version: "v" },
    startInMs: 1000,
    endInMs: 1000,
    cost: 1,
    stream: false,
    seq: 0,
  };
  return createPrediction({ ...grant, ...changes }, 0);
}

/** A run of these, begun at `startedAtMs`. */
export function runOf(predictions: readonly Prediction[], number = 1, startedAtMs = 0): Run {
  const shape = { size: predictions.length, cost: predictions.length, bucket: 0 };
  return new Run({ number, predictions, exclusive: false, startedAtMs, hasBegun: true, shape, isOneCall: true });
}
