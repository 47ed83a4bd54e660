/** One batch in a slot: who is in it, who began, who is done. */
import type { Shape } from "../scheduling/batching/batch-limits.ts";
import type { Prediction } from "./prediction.ts";

export type RunItem = {
  prediction: Prediction;
  /** Those of the instance that runs it. */
  devices: readonly string[];
  started: boolean;
  /** It has its devices (device-turns.ts). */
  holds: boolean;
  done: boolean;
  batchError: string | null;
  /** What the model said when it failed. */
  error: string | null;
};

export type RunOptions = Pick<Run, "number" | "exclusive" | "startedAtMs" | "hasBegun" | "shape" | "isOneCall"> & {
  predictions: readonly Prediction[];
  devices?: readonly string[];
};

export class Run {
  readonly number: number;
  readonly exclusive: boolean;
  /** When it began; of one that waits in its process, when it was sent. */
  startedAtMs: number;
  /** False while it waits in its process behind another: nothing of it runs. */
  hasBegun: boolean;
  /** When the model's call was over, of one whose outputs are made beside the next; null before, and of others. */
  calledAtMs: number | null = null;
  /** All members of a run in one call have their devices. */
  isHeld = false;
  /** The slot that it was given to. */
  slot = 0;
  /** Of an exclusive one, the group that its members are of: others of that may run beside it. */
  group: number | null = null;
  readonly shape: Shape;
  /** Its members run in one call, not one after another. */
  readonly isOneCall: boolean;
  /** By token: after a lost claim the same prediction may be here a second time. */
  readonly #items = new Map<string, RunItem>();
  readonly #inOrder: RunItem[];
  /** All before this place are done. */
  #firstAt = 0;

  constructor({ number, predictions, devices = [], exclusive, startedAtMs, hasBegun, shape, isOneCall }: RunOptions) {
    this.number = number;
    this.exclusive = exclusive;
    this.startedAtMs = startedAtMs;
    this.hasBegun = hasBegun;
    this.shape = shape;
    this.isOneCall = isOneCall;
    const fresh = { devices, started: false, holds: false, done: false, batchError: null, error: null };
    for (const prediction of predictions) this.#items.set(prediction.ref.token, { prediction, ...fresh });
    this.#inOrder = [...this.#items.values()];
  }

  get size(): number {
    return this.#items.size;
  }

  /** For how long it had its slot to itself. */
  slotMs(nowMs: number): number {
    return (this.calledAtMs ?? nowMs) - this.startedAtMs;
  }

  /** The slot is free, or gone, at `nowMs`: its time is shared among the members by their costs. They come back. */
  over(nowMs: number): Prediction[] {
    const members = Array.from(this.#items.values(), ({ prediction }) => prediction);
    const costs = members.reduce((sum, { grant }) => sum + grant.cost, 0);
    for (const prediction of members) {
      prediction.inRun = false;
      if (costs > 0 && this.hasBegun) prediction.deviceMs += (this.slotMs(nowMs) * prediction.grant.cost) / costs;
    }
    return members;
  }

  /** Whether words of this prediction are of this run; null: of all that run in its slot. */
  has(token: string | null): boolean {
    return token === null ? this.hasBegun : this.#items.has(token);
  }

  item(token: string): RunItem | undefined {
    return this.#items.get(token);
  }

  /** The first that is not done. */
  get first(): RunItem | undefined {
    while (this.#inOrder[this.#firstAt]?.done === true) this.#firstAt += 1;
    return this.#inOrder[this.#firstAt];
  }

  /** Who has its devices. */
  holders(): Prediction[] {
    return this.unfinished().flatMap(({ holds, prediction }) => (holds ? prediction : []));
  }

  unfinished(): RunItem[] {
    return [...this.#items.values()].filter((item) => !item.done);
  }

  /** What the model said of those that failed. */
  errors(): string[] {
    return [...this.#items.values()].flatMap(({ error }) => error ?? []);
  }

  /** Those whose batch call raised and who have no result. */
  raised(): RunItem[] {
    return [...this.#items.values()].filter((item) => item.batchError !== null);
  }

  /**
   * After a death: who may have caused it, and who can't have. Whoever had begun is a suspect; when nobody had,
   * everybody is, unless the run itself had not begun.
   */
  suspects(): { suspects: RunItem[]; innocent: RunItem[] } {
    const unfinished = this.unfinished();
    if (!this.hasBegun) return { suspects: [], innocent: unfinished };
    const suspects = unfinished.filter((item) => item.started);
    if (suspects.length === 0) return { suspects: unfinished, innocent: [] };
    return { suspects, innocent: unfinished.filter((item) => !item.started) };
  }
}
