/**
 * The queue of one model, in the runtime's terms: predictions become tickets of the batcher, those that have to run
 * apart become groups, and a timer looks again when time alone changes what may run.
 */
import { Batcher } from "../scheduling/batcher.ts";
import type { Batch, Ticket } from "../scheduling/batcher.ts";
import type { BatchLimits } from "../scheduling/batching/batch-limits.ts";
import { halve } from "../scheduling/bisect.ts";
import type { Clock } from "../scheduling/clock.ts";
import { costOf } from "./input-cost.ts";
import type { Model } from "./models/model.ts";
import type { Prediction } from "./prediction.ts";
import type { RunnerOptions } from "./runner-options.ts";

const LONGEST_TIMER_MS = 2 ** 30;
/** Larger inputs lie in the pool's memory while they wait, which may be what it dies of. */
const HARMLESS_BYTES = 1024 * 1024;

type QueueOptions = Pick<RunnerOptions, "clock" | "waiting"> & {
  model: Pick<Model, "batching" | "cost" | "manifest">;
};

export class PredictionQueue {
  readonly #batcher: Batcher<Prediction>;
  readonly #model: Pick<Model, "cost" | "manifest">;
  readonly #clock: Clock;
  readonly #onWake: () => void;
  readonly #notes: RunnerOptions["waiting"];
  /** Those that came since it was last noted who waits. */
  #fresh: Prediction[] = [];
  #groups = 0;
  #wakeAtMs = Infinity;
  #cancelWake: () => void = () => {};

  /** `onWake` is called when a window closes or a start deadline passes. */
  constructor({ model, clock, waiting }: QueueOptions, onWake: () => void) {
    this.#model = model;
    this.#notes = waiting;
    this.#batcher = new Batcher(model.batching);
    this.#clock = clock;
    this.#onWake = onWake;
  }

  /** How large batches may be, and what its runs have taught. */
  get limits(): BatchLimits {
    return this.#batcher.limits;
  }

  get waiting(): number {
    return this.#batcher.waiting;
  }

  /** How many wait with their start counted. */
  get armed(): number {
    return this.#batcher.armed;
  }

  /** Queues a prediction whose input is there. */
  add(prediction: Prediction): void {
    const { alone, startNow } = prediction.grant;
    // A suspect had its turn before, and others wait for it to have this one.
    if (alone) this.#batcher.addFirst([this.#ticket(prediction, startNow, this.#newGroup())]);
    else this.#batcher.add(this.#ticket(prediction, startNow, null));
    this.#fresh.push(prediction);
  }

  /** Queues predictions before everything else; `armed` says that their start is counted already. */
  addBack(predictions: readonly Prediction[], armed: boolean): void {
    this.#addAgain(predictions, armed, null);
  }

  /** Queues suspects before everything else: halved, or alone when it is one. Each needs a new `starting`. */
  addSuspects(suspects: readonly Prediction[]): void {
    const halves = suspects.length === 1 ? [suspects] : halve(suspects);
    for (const half of halves.toReversed()) this.#addAgain(half, false, this.#newGroup());
  }

  remove(token: string): void {
    this.#batcher.remove(token);
  }

  clear(): void {
    this.#batcher.clear();
  }

  /** The edge counted its start. False when it isn't here any more. */
  arm(token: string): boolean {
    return this.#batcher.arm(token);
  }

  /** Takes out those whose start deadline has passed. */
  expire(nowMs: number): Prediction[] {
    return this.#batcher.expire(nowMs).map(({ payload }) => payload);
  }

  /** Takes out those that can't end by their deadline any more, of a model that says so. */
  dropLate(nowMs: number): Prediction[] {
    return this.#batcher.dropLate(nowMs).map(({ payload }) => payload);
  }

  /** Takes out up to `count` of the last, of those that wait since `sinceMs` or longer. */
  takeLast(count: number, sinceMs: number): Prediction[] {
    return this.#batcher.takeLast(count, sinceMs).map(({ payload }) => payload);
  }

  /**
   * The next batch for an instance of so many slots; null when none is due. With `onlyFull` none that could have more
   * members.
   */
  take(nowMs: number, idle: boolean, onlyFull = false, slots = 1): Batch<Prediction> | null {
    return this.#begins(this.#batcher.take(nowMs, idle, onlyFull, slots));
  }

  /** The same of those that are no suspects, for an instance beside the one that suspects wait for. */
  takeBeside(nowMs: number): Batch<Prediction> | null {
    return this.#begins(this.#batcher.takeBeside(nowMs));
  }

  /** Whether suspects are to go next, in an instance that runs nothing else. */
  get isSuspectNext(): boolean {
    return this.#batcher.nextGroup !== null;
  }

  /** The next batch of a group of suspects for the instance that runs it; null when there is none. */
  more(group: number): Batch<Prediction> | null {
    return this.#begins(this.#batcher.more(group));
  }

  /** Those whose start the edge should count now, `quota` of them in all. */
  toArm(quota: number): Prediction[] {
    return this.#batcher.toArm(quota).map(({ payload }) => payload);
  }

  /** All that may go now has gone: notes who waits, and sets the timer for what time alone will change. */
  rest(nowMs: number): void {
    const fresh = this.#fresh.splice(0);
    const waiting = fresh.filter(({ stage, inputBytes }) => stage === "queued" && inputBytes <= HARMLESS_BYTES);
    if (waiting.length > 0) this.#notes?.waits(waiting.map(({ ref }) => ref.token));
    const wakeAtMs = this.#batcher.nextWakeMs(nowMs);
    if (wakeAtMs === Infinity || wakeAtMs >= this.#wakeAtMs) return;
    this.stopTimer();
    this.#wakeAtMs = wakeAtMs;
    this.#cancelWake = this.#clock.after(Math.min(wakeAtMs - nowMs, LONGEST_TIMER_MS), () => {
      this.#wakeAtMs = Infinity;
      this.#onWake();
    });
  }

  stopTimer(): void {
    this.#cancelWake();
  }

  #begins(batch: Batch<Prediction> | null): Batch<Prediction> | null {
    if (batch !== null) this.#notes?.begins(batch.tickets.map(({ id }) => id));
    return batch;
  }

  /** These were given to a process before: their deadline to start holds no more. */
  #addAgain(predictions: readonly Prediction[], armed: boolean, group: number | null): void {
    const tickets = predictions.map((prediction) => ({
      ...this.#ticket(prediction, armed, group),
      startByMs: Infinity,
    }));
    this.#batcher.addFirst(tickets);
  }

  #ticket(prediction: Prediction, armed: boolean, group: number | null): Ticket<Prediction> {
    prediction.stage = "queued";
    prediction.runEndByMs = Infinity;
    const enqueuedAtMs = this.#clock.nowMs();
    const { startByMs, endByMs, ref } = prediction;
    prediction.batchCost ??= costOf(prediction, this.#model);
    const times = { enqueuedAtMs, startByMs, endByMs };
    const cost = prediction.batchCost;
    return { id: ref.token, ...times, cost, group, armed, startingSent: armed, payload: prediction };
  }

  #newGroup(): number {
    this.#groups += 1;
    return this.#groups;
  }
}
