/** A prediction as the API answers it, and what commands show of it. */
import * as z from "zod";
import { CliError, exitCodes } from "./errors.ts";

const EstimateSchema = z.object({
  machine_ms: z.number(),
  setup_ms: z.number().nullable(),
  turn_ms: z.number().default(0),
});

export const PredictionSchema = z.looseObject({
  id: z.string(),
  model: z.string().optional(),
  version: z.string().nullish(),
  status: z.enum(["starting", "processing", "succeeded", "failed", "canceled", "aborted"]),
  output: z.unknown(),
  error: z.string().nullish(),
  error_code: z.string().nullish(),
  logs: z.string().nullish(),
  created_at: z.string(),
  started_at: z.string().nullish(),
  completed_at: z.string().nullish(),
  metrics: z.record(z.string(), z.unknown()).nullish(),
  queue: z
    .object({
      position: z.number().nullable(),
      eta_ms: z.number().nullable(),
      estimate: EstimateSchema.optional(),
    })
    .nullish(),
  urls: z.looseObject({ stream: z.string().optional() }),
});
export type Prediction = z.infer<typeof PredictionSchema>;

export function hasEnded({ status }: Pick<Prediction, "status">): boolean {
  return status !== "starting" && status !== "processing";
}

/** Where it stands, in a line. */
export function progressOf({ status, queue }: Prediction, sinceMs: number): string {
  const seconds = `${Math.round(sinceMs / 1000)} s`;
  if (status === "processing") return `running · ${seconds}`;
  const { position, eta_ms: etaMs, estimate } = queue ?? { position: null, eta_ms: null };
  const place =
    position === null
      ? "waiting for a pool that has this model"
      : position === 0
        ? "next"
        : `place ${position} in the queue`;
  const eta = etaMs === null ? "" : ` · starts in about ${wholeS(etaMs)} s${partsOf(estimate)}`;
  return `${place}${eta} · ${seconds}`;
}

function partsOf(estimate: z.output<typeof EstimateSchema> | undefined): string {
  if (estimate === undefined) return "";
  const { machine_ms: machineMs, setup_ms: setupMs, turn_ms: turnMs } = estimate;
  const machine = machineMs === 0 ? [] : [`${wholeS(machineMs)} s for a machine`];
  const turn = turnMs === 0 ? [] : [`${wholeS(turnMs)} s for those before it`];
  const setup = setupMs === null ? "the model's set-up was never seen" : `${wholeS(setupMs)} s for the model's set-up`;
  return ` (an estimate: ${[...machine, setup, ...turn].join(", ")})`;
}

const wholeS = (ms: number): number => Math.max(1, Math.round(ms / 1000));

/** What a prediction that didn't succeed throws. */
export function failureOf({ status, error, error_code: code, id }: Prediction): CliError {
  const why = error ?? (status === "canceled" ? "it was canceled" : "it gave no reason");
  return new CliError(
    `${id} ${status}: ${why.trim()}${code === null || code === undefined ? "" : ` (${code})`}`,
    exitCodes.failed,
  );
}

/** The last lines that the model printed. */
export function lastLogs({ logs }: Prediction, lines: number): string {
  return (logs ?? "").trimEnd().split("\n").slice(-lines).join("\n");
}
