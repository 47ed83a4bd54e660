/**
 * What lies between a granted prediction and the queue: its model must have loaded, since only then it is known which inputs are files, and its
 * input must have come.
 *
 *   added → (model loads) → input comes → prepared, or refused with a message for the client
 */
import type { Loaded } from "./child-messages.ts";
import { dropInputs } from "./inputs.ts";
import type { Prediction } from "./prediction.ts";
import type { RunnerOptions } from "./runner-options.ts";

export type PreparationOptions = {
  prepare: RunnerOptions["prepare"];
  /** It may be queued; unless it ended meanwhile. */
  onPrepared(prediction: Prediction): void;
  onRefused(prediction: Prediction, message: string): void;
  /** This host could not store it; `code` is the system's. */
  onHostFailed(prediction: Prediction, code: string): void;
  /** One fewer is on its way. */
  onSettled(): void;
};

export class Preparation {
  readonly #options: PreparationOptions;
  #loaded: Loaded | null = null;
  #waiting: Prediction[] = [];
  #underway = 0;

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  /** How many are not ready to be queued yet. */
  get size(): number {
    return this.#waiting.length + this.#underway;
  }

  /** How many wait for what a client's server sends, or the edge. */
  get fetching(): number {
    return this.#underway;
  }

  add(prediction: Prediction): void {
    if (this.#loaded === null) this.#waiting.push(prediction);
    else this.#prepare(prediction, this.#loaded);
  }

  /** The model's signature is known: from now on, and for those that waited for it. */
  loaded(loaded: Loaded): void {
    this.#loaded = loaded;
    for (const prediction of this.#waiting.splice(0)) this.#prepare(prediction, loaded);
  }

  /** Takes one out that still waits for the model. */
  remove(prediction: Prediction): void {
    this.#waiting = this.#waiting.filter((other) => other !== prediction);
  }

  /** Takes out all that wait for the model. */
  clear(): void {
    this.#waiting = [];
  }

  #prepare(prediction: Prediction, { schema }: Loaded): void {
    const { prepare, onPrepared, onRefused, onHostFailed, onSettled } = this.#options;
    const pending = prepare(prediction, schema);
    if (pending === null) {
      onPrepared(prediction);
      return;
    }
    this.#underway += 1;
    pending
      .then(
        () => {
          if (prediction.stage !== "ended") onPrepared(prediction);
        },
        (error: unknown) => {
          if (prediction.stage === "ended") return;
          // Of the system's calls only those to the disk come here as they are.
          if (error instanceof Error && "syscall" in error && "code" in error)
            onHostFailed(prediction, String(error.code));
          else onRefused(prediction, error instanceof Error ? error.message : String(error));
        },
      )
      .finally(() => {
        this.#underway -= 1;
        // It may have ended while its files came.
        if (prediction.stage === "ended") dropInputs(prediction);
        onSettled();
      });
  }
}
