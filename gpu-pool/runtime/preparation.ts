/**
 * What lies between a granted prediction and the queue: its model's signature must be known, since it says which inputs
 * are files, and its input must have come.
 *
 *   added → (its model loads, the first time on this host) → input comes → prepared, or refused with a message for the
 * client
 */
import type { Loaded } from "./child-messages.ts";
import { dropInputs } from "./inputs.ts";
import type { Prediction } from "./prediction.ts";
import { HostShortage } from "./pressure/host-shortage.ts";
import type { RunnerOptions } from "./runner-options.ts";

type Schema = Loaded["schema"];

export type PreparationOptions = {
  prepare: RunnerOptions["prepare"];
  /** It may be queued; unless it ended meanwhile. */
  onPrepared(prediction: Prediction): void;
  onRefused(prediction: Prediction, message: string): void;
  /** This host could not store it; `code` is the system's. */
  onHostFailed(prediction: Prediction, code: string): void;
  /** This host has no room for its files now. */
  onNoRoom(prediction: Prediction, message: string): void;
  /** One fewer is on its way. */
  onSettled(): void;
};

export class Preparation {
  readonly #options: PreparationOptions;
  #schema: Schema | null;
  #waiting: Prediction[] = [];
  #underway = 0;

  /** `schema`: what is known of the signature before the model is loaded. */
  constructor(options: PreparationOptions, schema: Schema | null) {
    this.#options = options;
    this.#schema = schema;
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
    if (this.#schema === null) this.#waiting.push(prediction);
    else this.#prepare(prediction, this.#schema);
  }

  /** The model's signature is known: from now on, and for those that waited for it. */
  loaded(schema: Schema): void {
    this.#schema = schema;
    for (const prediction of this.#waiting.splice(0)) this.#prepare(prediction, schema);
  }

  /** Takes one out that still waits for the model. */
  remove(prediction: Prediction): void {
    this.#waiting = this.#waiting.filter((other) => other !== prediction);
  }

  /** Takes out all that wait for the model. */
  clear(): void {
    this.#waiting = [];
  }

  #prepare(prediction: Prediction, schema: Schema): void {
    const { prepare, onPrepared, onRefused, onHostFailed, onNoRoom, onSettled } = this.#options;
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
          if (error instanceof HostShortage) return onNoRoom(prediction, error.message);
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
