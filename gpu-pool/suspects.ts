/** What was granted `alone`, one at a time over all models of the pool; see scheduling/solo-queue.ts for why. */
import type { Prediction, Reporter } from "./runtime/prediction.ts";
import { SoloQueue } from "./scheduling/solo-queue.ts";

type Taker = { accept(prediction: Prediction): void };
type Suspect = { taker: Taker; prediction: Prediction };

export class Suspects {
  readonly #queue = new SoloQueue<Suspect>();
  /** Those whose turn came while another one was handed to its model, which may refuse it at once. */
  readonly #turns: Suspect[] = [];
  readonly #report: Reporter;
  readonly #onEnded: (prediction: Prediction) => void;

  /** `onEnded` hears of those that ended before their turn. */
  constructor(report: Reporter, onEnded: (prediction: Prediction) => void) {
    this.#report = report;
    this.#onEnded = onEnded;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#queue.waiting;
  }

  /** How many of these this model will run. */
  waitingFor(taker: Taker): number {
    return this.waiting === 0 ? 0 : this.#queue.all().filter((one) => one.taker === taker).length;
  }

  /** Whether others wait for the end of this one. */
  keepsWaiting(token: string): boolean {
    return this.#queue.keepsWaiting(token);
  }

  /** Hands it to its model, at once or when its turn comes. */
  add(taker: Taker, prediction: Prediction): void {
    this.#queue.add(prediction.ref.token, { taker, prediction })?.taker.accept(prediction);
  }

  /** A claim's last event has been added, or nobody wants it any more: the next one's turn, if it was one of these. */
  ended(token: string): void {
    const next = this.#queue.ended(token);
    if (next === null || this.#turns.push(next) > 1) return;
    // In a loop: thousands that are refused, each within the end of the one before, are more than a stack holds.
    try {
      for (const { taker, prediction } of this.#turns) taker.accept(prediction);
    } finally {
      this.#turns.length = 0;
    }
  }

  /** Ends one that waits because it was canceled; false when none of that token does. */
  cancel(token: string): boolean {
    const waiting = this.#queue.remove(token);
    if (waiting === null) return false;
    this.#report.failed(waiting.prediction.ref, "model", "canceled", "The prediction was canceled.");
    this.#onEnded(waiting.prediction);
    return true;
  }

  /** Hands back all that wait. */
  release(): void {
    for (const { prediction } of this.#queue.clear()) {
      this.#report.released(prediction.ref, "drain");
      this.#onEnded(prediction);
    }
  }

  /** Hands back those that wait for this model. */
  releaseOf(taker: Taker): void {
    for (const { taker: theirs, prediction } of this.#queue.all()) {
      if (theirs !== taker || this.#queue.remove(prediction.ref.token) === null) continue;
      this.#report.released(prediction.ref, "no_room");
      this.#onEnded(prediction);
    }
  }
}
