/**
 * One model on this pool: its queue, its instances, and what becomes of a batch that fails.
 *
 * Flow of one prediction: accept → input prepared → queued (scheduling/batcher) → its batch runs → reports → ended. A
 * batch that raises, or whose process dies, is halved and run again after a new `starting`, until the culprit is alone.
 */
import type { ModelLoad } from "../scheduling/room.ts";
import type { Batch } from "../scheduling/batcher.ts";
import type { Learned } from "../scheduling/batching/batch-limits.ts";
import { Lately } from "../scheduling/lately.ts";
import type { Loaded, SlotMessage } from "./child-messages.ts";
import { dispatch, dispatchAll, predictionsOf, whyNotDispatched } from "./dispatch.ts";
import type { Frame } from "./frames.ts";
import type { Instance, SetupProblem } from "./instance.ts";
import { Instances } from "./instances.ts";
import { instanceOptionsOf } from "./instance-options.ts";
import type { InstanceEvents } from "./instance-options.ts";
import { Held } from "./held.ts";
import { advanceRun, applyItemMessage, limitsOf } from "./item-messages.ts";
import type { RunLimits } from "./item-messages.ts";
import { learnFromDeath, learnFromRun } from "./learning.ts";
import type { Death } from "./model-process.ts";
import type { Model } from "./models/model.ts";
import { isOutOfMemory } from "./out-of-memory.ts";
import { PlacedModel } from "./placement/placed-model.ts";
import { PredictionQueue } from "./prediction-queue.ts";
import type { Prediction } from "./prediction.ts";
import { ModelPressure } from "./pressure/model-pressure.ts";
import { Preparation } from "./preparation.ts";
import type { PreparationOptions } from "./preparation.ts";
import { loadOf } from "./model-load.ts";
import { Readiness } from "./readiness.ts";
import { Returns } from "./returns.ts";
import type { RunnerOptions } from "./runner-options.ts";
import { answerDeath, settleRun, sortOutDeath } from "./run-end.ts";
import type { Run } from "./run.ts";
import { lateOnes, sweepDeadlines } from "./sweep.ts";

/** So many whose files are still coming take up no room: a client's slow server holds up that client only. */
const FETCHING_BESIDE = 64;
const LEAVES = "this pool no longer serves this version so";

export class ModelRunner {
  readonly model: Model;
  readonly instances: Instances;
  loaded: Loaded | null = null;
  /** While true it begins nothing more: what waits is about to be handed back. */
  onHold = false;
  /** It takes nothing any more, and ends when what runs is over. */
  isLeaving = false;
  readonly #readiness: Readiness;
  readonly #options: RunnerOptions;
  readonly #queue: PredictionQueue;
  readonly #preparation: Preparation;
  readonly #held: Held;
  readonly #returns: Returns;
  #batches = 0;
  #pumpDue = false;
  readonly #pressure: ModelPressure;
  readonly #runMs = new Lately();
  readonly #placed: PlacedModel;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.model = options.model;
    this.#queue = new PredictionQueue(options, () => this.#schedule());
    const preparation: PreparationOptions = {
      prepare: options.prepare,
      onPrepared: (prediction) => {
        this.#queue.add(prediction);
        this.#pump();
      },
      onRefused: (prediction, message) => {
        options.report.failed(prediction.ref, "input", "invalid_input", message);
        this.#held.ended(prediction, "failed");
      },
      onHostFailed: (one, code) => this.#hostFailed([one], `The host could not store the input: ${code}.`),
      onNoRoom: (prediction, message) => this.#handBack([prediction], message),
      onSettled: () => this.#pump(),
    };
    this.#preparation = new Preparation(preparation, options.model.manifest.schema);
    this.#held = new Held(options);
    this.#returns = new Returns(this.#held, this.#queue, this.#preparation);
    const shortage = (): string | null => options.shortage(options.model.manifest.schema) ?? this.#placed.pause;
    this.#pressure = new ModelPressure({ ...options, shortage, held: this.#held });
    this.#readiness = new Readiness(options.clock, () => {
      options.placer.changed();
      options.onRoom();
    });
    this.instances = new Instances(instanceOptionsOf(options, this.#events()));
    this.#placed = new PlacedModel({
      ...options,
      instances: this.instances,
      waiting: () => this.waiting,
      load: (nowMs) => this.load(nowMs),
      readiness: this.#readiness,
      isLeaving: () => this.isLeaving,
    });
    this.hostChanged();
  }

  get held(): number {
    return this.#held.size;
  }

  get waiting(): number {
    return this.#queue.waiting + this.#preparation.size + this.instances.sent().length;
  }

  /** What its runs have shown of its batches. */
  get learned(): Learned {
    return this.#queue.limits.learned;
  }

  /** Why it takes nothing for now, as this host runs short or its processes die in a row; null when it does. */
  get pausedBy(): string | null {
    return this.#pressure.pausedBy ?? this.instances.parkedBy;
  }

  /** Why it can't be set up; null when it can. */
  get problem(): SetupProblem | null {
    return this.#readiness.problem;
  }

  /** What it does and could take, as room is computed from it. */
  load(nowMs = this.#options.clock.nowMs()): ModelLoad {
    const waiting = this.waiting - Math.min(this.#preparation.fetching, FETCHING_BESIDE);
    const { pausedBy, held } = this;
    const { armed, limits } = this.#queue;
    const [counted, onHold] = [armed + this.instances.sent().length, this.onHold || this.isLeaving];
    const counts = { waiting, counted, picks: limits.picks, runMs: this.#runMs, held, onHold, pausedBy };
    return loadOf(this.model, this.instances, this.#readiness, counts, this.#placed, nowMs);
  }

  /** What an instance is taken to use of each of its devices; null for one without a place. */
  deviceBytesOf(instance: Instance): number | null {
    return this.#options.placer.bytesOf(instance);
  }

  /** Starts an instance as soon as there is a place, if it has none: at once, whatever went wrong before. */
  warm(): void {
    this.#placed.warm();
  }

  /** Takes a granted prediction. */
  accept(prediction: Prediction): void {
    this.hostChanged();
    this.#held.add(prediction);
    this.#placed.asked();
    const { refusal } = this.#readiness;
    const { shortage } = this.#pressure;
    if (this.isLeaving) this.#held.release(prediction, "no_room", LEAVES);
    else if (refusal !== null) this.#held.release(prediction, "setup", refusal);
    else if (shortage !== null) this.#held.release(prediction, "no_room", shortage);
    else this.#preparation.add(prediction);
  }

  /** What runs short here, or needs it, is another now: what waits goes to other hosts, and what runs goes on. */
  pressureChanged(): void {
    const { shortage } = this.#pressure;
    if (shortage !== null) this.releaseWaiting("no_room", shortage);
    this.#options.onRoom();
  }

  /** Looks anew whether this host can run the model. What runs goes on; what can't begin is handed back. */
  hostChanged(): void {
    this.#placed.hostChanged();
    const refusal = this.instances.ready ? null : this.#placed.refusal;
    if (!this.#readiness.host(refusal)) return;
    if (refusal !== null) this.#returns.unset(this.#readiness.refusal);
    this.#pump();
  }

  /** Its model is configured otherwise: what doesn't run yet goes by that, and processes follow. */
  reconfigured(): void {
    this.#placed.reconfigured();
    this.#pump();
  }

  /** The edge counted the start: it may run. */
  started(token: string): void {
    if (this.#queue.arm(token)) this.#pump();
  }

  /** Stops one, wherever it is. With `stale` nobody wants to hear of it any more. */
  stop(token: string, why: "canceled" | "timed_out" | "stale"): void {
    const prediction = this.#held.get(token);
    if (prediction === undefined) return;
    if (prediction.ending !== null) {
      if (why === "stale") prediction.ending = why;
      return;
    }
    prediction.ending = why;
    if (prediction.stage !== "running") {
      this.instances.withdraw(prediction);
      this.#queue.remove(token);
      this.#preparation.remove(prediction);
      this.#held.stopped(prediction);
      this.#pump();
      return;
    }
    prediction.killAtMs = this.#options.clock.nowMs() + this.#options.cancelGraceMs;
    this.instances.placeOf(prediction)?.instance.process?.cancel(prediction.ref.token);
  }

  /** Hands back everything that has not begun. */
  releaseWaiting(reason: "drain" | "no_room", problem?: string): void {
    this.#returns.waiting(reason, problem);
  }

  /** Hands back what still runs: its process is about to be ended. */
  releaseRunning(reason: "drain"): void {
    this.#returns.running(reason);
  }

  /** Takes nothing more, and hands back what has not begun. What runs goes on. */
  leave(): void {
    this.isLeaving = true;
    this.releaseWaiting("no_room", LEAVES);
  }

  /** Placement no longer counts with it. */
  remove(): void {
    this.#options.placer.remove(this.#placed);
  }

  /** Ends its processes once they finished what runs. */
  shutdown(graceMs: number): void {
    this.#queue.stopTimer();
    this.#placed.close();
    this.instances.stop(graceMs);
  }

  /** Called a few times a second while predictions are held: enforces deadlines and ends of grace, and plans anew. */
  sweep(nowMs: number): void {
    sweepDeadlines(this.#held.all(), this.instances, nowMs, (token) => this.stop(token, "timed_out"));
    if (this.#placed.isPatienceOver(nowMs)) this.#handBack(this.#returns.notBegun, "this host has no place for it");
    const places = { queue: this.#queue, instances: this.instances };
    for (const prediction of lateOnes(this.load(nowMs), this.#options.aheadBatches, places, nowMs))
      this.#held.release(prediction, "no_room");
    if (this.waiting > 0) this.#options.placer.changedSoon();
  }

  /** Called rarely: stops processes that had nothing to do for `idleStopMs`. */
  stopIfIdle(nowMs: number, idleStopMs: number): void {
    if (this.model.placement.pinned || this.#held.size > 0 || nowMs - this.#held.busyAtMs < idleStopMs) return;
    this.instances.stopIdle(10_000);
  }

  get #limits(): RunLimits {
    return limitsOf(this.model, this.#options);
  }

  /** Many things can happen in one turn of the event loop; scheduling looks once, at its end. */
  #pump(): void {
    if (this.#pumpDue) return;
    this.#pumpDue = true;
    queueMicrotask(() => {
      this.#pumpDue = false;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.onHold) return;
    const nowMs = this.#options.clock.nowMs();
    for (const prediction of this.#queue.expire(nowMs)) this.#held.release(prediction, "no_room");
    for (const prediction of this.#queue.dropLate(nowMs)) this.#held.late(prediction, this.#queue.limits);
    const give = (instance: Instance, batch: Batch<Prediction>): void => this.#dispatch(instance, batch);
    const leftIn = (instance: Instance): number => this.#placed.leftIn(instance);
    dispatchAll(this.instances, this.#queue, { nowMs, runMs: this.#runMs.value, leftIn, give });
    if (this.instances.ready && this.#queue.armed < this.#queue.waiting) {
      const quota = this.#options.startQuota(this) - this.instances.sent().length;
      for (const { ref } of this.#queue.toArm(quota)) this.#options.report.starting(ref);
    }
    this.#queue.rest(nowMs);
    if (this.#queue.waiting > 0 || this.#options.placer.isContended) this.#options.placer.changedSoon();
    this.#options.onRoom();
  }

  #dispatch(instance: Instance, batch: Batch<Prediction>): void {
    this.#batches += 1;
    const context = { limits: this.#queue.limits, model: this.model, loaded: this.loaded, run: this.#limits };
    try {
      this.#options.observe.batch(dispatch(this.#batches, instance, batch, context));
    } catch (error) {
      this.#hostFailed(predictionsOf(batch), whyNotDispatched(error));
    }
  }

  /** This host failed them (a full disk): another may run them, and this one takes none for a while. */
  #hostFailed(predictions: readonly Prediction[], problem: string): void {
    this.#pressure.diskRefused();
    this.#handBack(predictions, problem);
  }

  #handBack(predictions: readonly Prediction[], problem: string): void {
    this.#returns.these(predictions, problem);
    this.#pump();
  }

  #slotMessage(instance: Instance, slot: number, message: SlotMessage, frame: Frame): void {
    const { process } = instance;
    const run = instance.runOf(slot, message);
    if (run === undefined || process === null) return;
    if (message.type === "begun" || message.type === "called") {
      advanceRun(run, message.type, this.#limits);
      return this.#pump();
    }
    if (message.type === "idle") {
      instance.runs.delete(run.number);
      const nowMs = this.#options.clock.nowMs();
      instance.lastUsedMs = nowMs;
      const ms = nowMs - run.startedAtMs;
      this.#runMs.add(run.slotMs(nowMs));
      const takenBytes = instance.memory.noted(message.memory ?? null);
      this.#options.observe.ran(ms, takenBytes);
      learnFromRun(run, ms, this.#queue.limits, takenBytes);
      this.#runOver(run, nowMs);
      this.#runAgain(settleRun(run, this.#held, this.#options.report));
      return;
    }
    if (message.type === "log" && message.id === null) {
      for (const { ref } of run.holders()) this.#options.report.log(ref, message.text);
      return;
    }
    const item = message.id === null ? undefined : run.item(message.id);
    if (item === undefined || item.done) return;
    if (message.type === "done" && message.deviceError !== undefined) return process.condemn(message.deviceError);
    if (message.type === "done" && message.diskFull === true && item.prediction.ending === null) {
      item.done = true;
      return this.#pressure.metFullDisk(item.prediction, message.error ?? "");
    }
    const context = { ...this.#limits, report: this.#options.report, origin: process.origin };
    const outcome = applyItemMessage(item, message, frame, context);
    if (outcome === null) return;
    this.#held.ended(item.prediction, outcome);
    const isInput = message.type === "done" && message.invalidInput === true;
    if (!isInput) instance.heard(outcome, this.model.cog.edgeplane.recycleAfterFailures);
  }

  /** What ended in this run is told now that its time is known. */
  #runOver(run: Run, nowMs: number): void {
    for (const prediction of run.over(nowMs)) if (prediction.stage === "ended") this.#options.onEnded(prediction);
  }

  #runAgain(suspects: readonly Prediction[]): void {
    if (suspects.length > 0) this.#options.observe.bisected();
    if (suspects.length > 0) this.#queue.addSuspects(suspects);
    this.#pump();
  }

  #gone(instance: Instance, death: Death, runs: Run[]): void {
    this.#options.observe.died(instance.name, death, runs, instance.leftMs());
    this.#options.placer.gone(instance);
    learnFromDeath(runs, death, this.#queue.limits);
    for (const run of runs) this.#runOver(run, this.#options.clock.nowMs());
    const suspects = sortOutDeath(runs, death, this.#held, this.#queue, this.#options.report);
    this.#runAgain(answerDeath(suspects, instance, death, this.#held, this.#options.report));
  }

  #loadedNow(loaded: Loaded): void {
    this.loaded = loaded;
    this.#options.onLoaded(loaded);
    this.#preparation.loaded(loaded.schema);
    this.pressureChanged();
  }

  #broken(instance: Instance, problem: SetupProblem): void {
    this.#options.placer.changed();
    if (this.#placed.isFaultOfHost(instance, isOutOfMemory(problem))) return instance.forgive();
    this.#options.observe.broken(instance.name, problem);
    if (!this.instances.broken) return;
    this.#readiness.failed(problem);
    this.#returns.unset(this.#readiness.refusal);
    this.#pump();
  }

  #events(): InstanceEvents {
    const { clock, observe } = this.#options;
    return {
      onLoaded: (loaded) => this.#loadedNow(loaded),
      onReady: (instance, setupSeconds) => {
        const loadMs = clock.nowMs() - (instance.launchedAtMs ?? clock.nowMs());
        this.#readiness.ready(loadMs);
        observe.ready(instance.name, setupSeconds, loadMs);
        this.#options.onSetUp?.();
        void this.#options.placer.loaded(this.#placed, instance);
        this.#pump();
      },
      onSlotMessage: (instance, slot, message, frame) => this.#slotMessage(instance, slot, message, frame),
      onGone: (instance, death, runs) => this.#gone(instance, death, runs),
      onBroken: (instance, problem) => this.#broken(instance, problem),
      onGrew: (bytes) => this.#options.placer.grew(this.#placed, bytes),
      onPrinted: (text) => observe.printed(text),
    };
  }
}
