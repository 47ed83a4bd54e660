/** What a model's runner holds and gives back to the edge: others may run it. */
import type { Held } from "./held.ts";
import type { Preparation } from "./preparation.ts";
import type { PredictionQueue } from "./prediction-queue.ts";
import type { Prediction } from "./prediction.ts";

export class Returns {
  readonly #held: Held;
  readonly #queue: PredictionQueue;
  readonly #preparation: Preparation;

  constructor(held: Held, queue: PredictionQueue, preparation: Preparation) {
    this.#held = held;
    this.#queue = queue;
    this.#preparation = preparation;
  }

  /** Not those in a process, which may be about to leave: it runs them. */
  get notBegun(): Prediction[] {
    return this.#held.all().filter(({ stage }) => stage !== "running" && stage !== "sent");
  }

  /** All that has not begun. */
  waiting(reason: "drain" | "no_room", problem?: string): void {
    for (const prediction of this.notBegun) {
      if (prediction.ending !== null) continue;
      this.#queue.remove(prediction.ref.token);
      this.#held.release(prediction, reason, problem);
    }
    this.#preparation.clear();
  }

  /** All that still runs: its process is about to be ended. */
  running(reason: "drain"): void {
    for (const prediction of this.#held.all()) this.#held.release(prediction, reason);
  }

  /** These, for which this host has no room. */
  these(predictions: readonly Prediction[], problem: string): void {
    for (const prediction of predictions) {
      this.#queue.remove(prediction.ref.token);
      this.#preparation.remove(prediction);
      this.#held.release(prediction, "no_room", problem);
    }
  }

  /** All that has not begun, as the model can't be set up here. */
  unset(refusal: string | null): void {
    this.#queue.clear();
    this.#preparation.clear();
    for (const prediction of this.notBegun) this.#held.release(prediction, "setup", refusal ?? undefined);
  }
}
