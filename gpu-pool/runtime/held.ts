/** The predictions that a model was granted and that have not ended, and how each of them ends here. */
import type { BatchLimits } from "../scheduling/batching/batch-limits.ts";
import type { Clock } from "../scheduling/clock.ts";
import { dropInputs } from "./inputs.ts";
import { reportStopped } from "./item-messages.ts";
import type { Prediction } from "./prediction.ts";
import type { RunnerOptions } from "./runner-options.ts";

/** Why what is fetched for it stops; one for all, as the trace of an error made for each end is a cost. */
const HAS_ENDED = new Error("the prediction has ended");

export type HeldOptions = Pick<RunnerOptions, "report" | "observe" | "onEnded"> & { clock: Clock };

export class Held {
  /** When one came or ended last. */
  busyAtMs: number;
  readonly #options: HeldOptions;
  readonly #byToken = new Map<string, Prediction>();

  constructor(options: HeldOptions) {
    this.#options = options;
    this.busyAtMs = options.clock.nowMs();
  }

  get size(): number {
    return this.#byToken.size;
  }

  all(): Prediction[] {
    return [...this.#byToken.values()];
  }

  get(token: string): Prediction | undefined {
    return this.#byToken.get(token);
  }

  add(prediction: Prediction): void {
    this.#byToken.set(prediction.ref.token, prediction);
    this.busyAtMs = this.#options.clock.nowMs();
  }

  /** Hands it back. */
  release(prediction: Prediction, reason: "drain" | "no_room" | "setup", problem?: string): void {
    this.#options.report.released(prediction.ref, reason, problem);
    this.ended(prediction, reason === "setup" ? "setup_failed" : "released");
  }

  /** It was not begun, since it could not have ended by its deadline. */
  late(prediction: Prediction, limits: BatchLimits): void {
    const { ref, endByMs, deviceMs, batchCost } = prediction;
    const leastMs = limits.leastMs(batchCost ?? 1);
    const leftMs = Math.max(0, Math.round(endByMs - this.#options.clock.nowMs()));
    const why = `A run takes about ${Math.round(leastMs)} ms, and ${leftMs} ms were left until its deadline.`;
    if (deviceMs > 0) this.#options.report.failed(ref, "timeout", "timed_out", why);
    else this.#options.report.failed(ref, "late", "deadline_before_start", why);
    this.ended(prediction, "late");
  }

  /** It was being stopped, and now it has. */
  stopped(prediction: Prediction): void {
    this.ended(prediction, reportStopped(prediction, this.#options.report));
  }

  /** Its end has been reported. */
  ended(prediction: Prediction, outcome: string): void {
    prediction.stage = "ended";
    prediction.fetching.abort(HAS_ENDED);
    this.#byToken.delete(prediction.ref.token);
    this.busyAtMs = this.#options.clock.nowMs();
    dropInputs(prediction);
    this.#options.observe.ended(outcome, prediction);
    if (!prediction.inRun) this.#options.onEnded(prediction);
  }
}
