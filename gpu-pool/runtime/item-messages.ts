/** What one prediction's messages from its slot mean: reports while it runs, and how it ended. */
import type { Done, SlotMessage } from "./child-messages.ts";
import { holdItem } from "./device-turns.ts";
import type { Frame } from "./frames.ts";
import type { Model } from "./models/model.ts";
import type { Metrics, Origin, Prediction, Produced, Reporter } from "./prediction.ts";
import type { Run, RunItem } from "./run.ts";
import type { RunMeter, RunnerOptions } from "./runner-options.ts";

/**
 * `runLimitMs`: how long one run may take by the model's own settings; null: as long as the prediction may. `meter` is
 * told who has devices.
 */
export type RunLimits = { runLimitMs: number | null; nowMs: number; meter: RunMeter };

export function limitsOf(
  { cog }: Pick<Model, "cog">,
  { clock, meter }: Pick<RunnerOptions, "clock" | "meter">,
): RunLimits {
  return { runLimitMs: cog.edgeplane.predictTimeoutMs ?? null, nowMs: clock.nowMs(), meter };
}

export type ItemContext = RunLimits & { report: Reporter; origin: Origin };

/** Applies one message; returns the outcome when the prediction ended with it, else null. */
export function applyItemMessage(
  item: RunItem,
  message: SlotMessage,
  frame: Frame,
  context: ItemContext,
): string | null {
  const { report } = context;
  const { prediction } = item;
  const { ref } = prediction;
  switch (message.type) {
    case "started":
      begin(item, context);
      return null;
    case "log":
      report.log(ref, message.text);
      return null;
    case "metric":
      report.metric(ref, message.metrics);
      return null;
    case "output":
      report.chunk(ref, produced(message.chunk ?? null, message.chunkFile, frame, context));
      return null;
    case "done":
      return finish(item, message, frame, context);
    default:
      return null;
  }
}

/** A run begins: its members, unless they run one after another and say so themselves. */
export function beginRun(run: Run, limits: RunLimits): void {
  run.hasBegun = true;
  run.startedAtMs = limits.nowMs;
  for (const item of run.unfinished()) {
    item.prediction.stage = "running";
    if (run.isOneCall) begin(item, limits);
  }
}

/** A run gets on: it begins, or its call is over, which lets another begin and takes its devices from nobody. */
export function advanceRun(run: Run, type: "begun" | "called", limits: RunLimits): void {
  if (type === "called") run.calledAtMs = limits.nowMs;
  else if (!run.hasBegun) beginRun(run, limits);
}

/** Its turn came: from here on it may have caused a death, and its time runs. */
function begin(item: RunItem, { runLimitMs, nowMs, meter }: RunLimits): void {
  const { prediction } = item;
  item.started = true;
  holdItem(item, meter);
  // Its deployment says it before its model does.
  const limitMs = prediction.grant.runLimitMs ?? runLimitMs;
  if (limitMs !== null) prediction.runEndByMs = nowMs + limitMs;
}

/** Reports the end of a prediction that was stopped, by what stopped it; returns the outcome. */
export function reportStopped(prediction: Prediction, report: Reporter, metrics?: Metrics): string {
  const { ref, ending } = prediction;
  if (ending === "stale") report.forget(ref);
  else if (ending === "timed_out")
    report.failed(ref, "timeout", "timed_out", "The prediction ran out of time.", metrics);
  else report.failed(ref, "model", "canceled", "The prediction was canceled.", metrics);
  return ending ?? "canceled";
}

function finish(item: RunItem, message: Done, frame: Frame, context: ItemContext): string | null {
  const { report } = context;
  const { ref, ending } = item.prediction;
  const metrics: Metrics = message.seconds === undefined ? {} : { predict_time: message.seconds };
  item.done = true;
  if (message.status === "failed" && message.invalidInput !== true) item.error = message.error ?? "";
  if (message.batchError === true && ending === null) {
    item.batchError = message.error ?? "the batch failed";
    return null;
  }
  if (message.status === "succeeded") {
    const output = produced(message.output ?? null, message.outputFile, frame, context);
    if (ending !== "timed_out") {
      report.succeeded(ref, output, metrics);
      return "succeeded";
    }
    report.untold(ref, output);
  }
  if (ending !== null) return reportStopped(item.prediction, report, metrics);
  const why = message.error ?? "The model gave no reason.";
  if (message.invalidInput === true) report.failed(ref, "input", "invalid_input", why, metrics);
  else report.failed(ref, "model", "model_error", why, metrics);
  return "failed";
}

function produced(value: Produced["value"], file: string | undefined, frame: Frame, context: ItemContext): Produced {
  const { sizeBytes, mentionsFile } = frame;
  const made = { value, sizeBytes, mentionsFile, ...context.origin };
  return file === undefined ? made : { ...made, file };
}
