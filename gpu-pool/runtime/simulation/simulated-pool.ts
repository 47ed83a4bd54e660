/**
 * A pool of one model in simulated time: the queue, what runs teach it, and the halving of batches that fail are the
 * pool's own; the edge, which counts starts, and the processes, which run batches, are simulated.
 */
import { shapeOf } from "../dispatch.ts";
import { learnFromDeath, learnFromRun } from "../learning.ts";
import { createPrediction } from "../prediction.ts";
import type { Prediction } from "../prediction.ts";
import { PredictionQueue } from "../prediction-queue.ts";
import { Run } from "../run.ts";
import { ManifestSchema } from "../../../src/contract/manifest.ts";
import type { BatchingOptions } from "../../scheduling/batching/batch-limits.ts";
import type { Batch, Reason } from "../../scheduling/batcher.ts";
import { createTimeline } from "./timeline.ts";
import type { Timeline } from "./timeline.ts";

export type Job = {
  id: string;
  /** When the edge takes it, and how long from then it has to start and to end, in milliseconds. */
  atMs: number;
  startInMs: number;
  endInMs: number;
  cost: number;
  /** `raises`: so does each batch that it is in. `kills`: the process dies of it. */
  does: "well" | "raises" | "kills";
};

export type Host = {
  batching: BatchingOptions;
  instances: number;
  /** How many may wait in the pool; the others wait at the edge, in order. */
  room: number;
  /** Full batches that wait in a process behind the one that runs. */
  ahead: number;
  /** How long a batch runs: so many, of which the largest costs so much. */
  runMs(size: number, largest: number): number;
  /** A batch of several that costs more runs out of memory. */
  memoryCost: number;
  /** How long the edge takes to count a start, and a process to start again. */
  armMs: number;
  restartMs: number;
};

export type End = "done" | "failed" | "crashed" | "expired" | "late";
export type Ended = { job: Job; how: End; atMs: number; dispatchedAtMs: number | null };
export type Outcome = {
  ended: Ended[];
  /** What must never be, in words. */
  problems: string[];
  batches: { size: number; cost: number; sum: number; reason: Reason; ms: number; outOfMemory: boolean }[];
};

/** One that waits: since when, whether its start is counted, and whether it may run with anybody. */
type Waiting = { sinceMs: number; isArmed: boolean; isOpen: boolean };
type Process = { run: Run | null; waiting: Run[]; isUp: boolean };

const manifest = ManifestSchema.parse({ owner: "local", name: "m", version: "0".repeat(64) });

export function simulate(jobs: readonly Job[], host: Host): Outcome {
  return new Simulation(jobs, host).outcome();
}

class Simulation {
  readonly #jobs: ReadonlyMap<string, Job>;
  readonly #host: Host;
  readonly #time: Timeline = createTimeline();
  readonly #queue: PredictionQueue;
  readonly #processes: Process[];
  readonly #ended = new Map<string, Ended>();
  readonly #dispatchedAtMs = new Map<string, number>();
  readonly #atEdge = new Set<Job>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #outcome: Outcome = { ended: [], problems: [], batches: [] };
  #runs = 0;

  constructor(jobs: readonly Job[], host: Host) {
    this.#host = host;
    this.#jobs = new Map(jobs.map((job) => [job.id, job]));
    const model = { batching: host.batching, cost: null, manifest };
    this.#queue = new PredictionQueue({ model, clock: this.#time.clock }, () => this.#schedule());
    this.#processes = Array.from({ length: host.instances }, () => ({ run: null, waiting: [], isUp: true }));
    for (const job of jobs) this.#time.at(job.atMs, () => this.#accepted(job));
  }

  outcome(): Outcome {
    this.#time.run();
    this.#outcome.ended = [...this.#ended.values()];
    for (const { id } of this.#jobs.values()) if (!this.#ended.has(id)) this.#problem(`${id} was lost`);
    return this.#outcome;
  }

  get #quota(): number {
    return this.#host.batching.maxBatchSize * (this.#host.instances + 1);
  }

  #accepted(job: Job): void {
    this.#atEdge.add(job);
    this.#time.clock.after(Math.min(job.startInMs, job.endInMs), () => {
      if (this.#atEdge.delete(job)) this.#endJob(job, "expired");
    });
    this.#schedule();
  }

  /** Whether one was granted. */
  #grant(): boolean {
    const before = this.#atEdge.size;
    for (const job of this.#atEdge) {
      if (this.#queue.waiting >= this.#host.room) break;
      this.#atEdge.delete(job);
      this.#granted(job);
    }
    return this.#atEdge.size < before;
  }

  #granted({ id, cost, atMs, ...job }: Job): void {
    const waitedMs = this.#time.clock.nowMs() - atMs;
    const [startInMs, endInMs] = [job.startInMs - waitedMs, job.endInMs - waitedMs];
    const startNow = this.#queue.waiting < this.#quota;
    const prediction = createPrediction(
      {
        ...{ id, token: id, verdict: "granted", attempt: 1, startNow, alone: false, startInMs, endInMs, cost },
        ...{ model: { owner: "local", name: "m", version: manifest.version }, stream: false, seq: 0 },
      },
      this.#time.clock.nowMs(),
    );
    prediction.batchCost = cost;
    this.#queue.add(prediction);
    this.#waits([prediction], startNow, true);
  }

  #schedule(): void {
    this.#grant();
    const nowMs = this.#time.clock.nowMs();
    for (const prediction of this.#queue.expire(nowMs)) this.#end(prediction, "expired");
    for (const prediction of this.#queue.dropLate(nowMs)) this.#end(prediction, "late");
    for (const process of this.#processes) {
      while (process.isUp && process.run === null && this.#start(process, this.#queue.take(nowMs, true))) continue;
      const isOpen = process.run !== null && !process.run.exclusive;
      while (process.isUp && isOpen && process.waiting.length < this.#host.ahead) {
        const batch = this.#queue.take(nowMs, false, true);
        if (batch === null) break;
        process.waiting.push(this.#runOf(batch));
      }
    }
    if (this.#grant()) return this.#schedule();
    for (const { ref } of this.#queue.toArm(this.#quota))
      this.#time.clock.after(this.#host.armMs, () => {
        if (!this.#queue.arm(ref.token)) return;
        const waiting = this.#waiting.get(ref.id);
        if (waiting !== undefined) waiting.isArmed = true;
        this.#schedule();
      });
    this.#queue.rest(nowMs);
    this.#checkDelays(nowMs);
  }

  /** While a process does nothing, nobody waits longer than for company. */
  #checkDelays(nowMs: number): void {
    if (!this.#processes.some(({ isUp, run }) => isUp && run === null)) return;
    for (const [id, { sinceMs, isArmed, isOpen }] of this.#waiting) {
      const dueAtMs = sinceMs + this.#host.batching.maxQueueDelayMs;
      if (isArmed && isOpen && nowMs >= dueAtMs) this.#problem(`${id} waits beside an idle process`);
    }
  }

  #waits(predictions: readonly Prediction[], isArmed: boolean, isOpen: boolean): void {
    const sinceMs = this.#time.clock.nowMs();
    for (const { ref } of predictions) this.#waiting.set(ref.id, { sinceMs, isArmed, isOpen });
  }

  #start(process: Process, batch: Batch<Prediction> | null): boolean {
    if (batch === null) return false;
    this.#begin(process, this.#runOf(batch));
    return true;
  }

  #runOf({ tickets, exclusive, reason }: Batch<Prediction>): Run {
    const nowMs = this.#time.clock.nowMs();
    const predictions = tickets.map(({ payload }) => payload);
    const { limits } = this.#queue;
    for (const ticket of tickets) {
      const { id, cost, endByMs } = ticket;
      if (!ticket.armed) this.#problem(`${id} was dispatched before its start was counted`);
      if (this.#host.batching.dropsLate === true && nowMs + limits.leastMs(cost) > endByMs)
        this.#problem(`${id} was dispatched, though it can't end in time`);
      if (ticket.payload.stage === "running") this.#problem(`${id} was dispatched twice`);
      ticket.payload.stage = "running";
      this.#dispatchedAtMs.set(id, nowMs);
      this.#waiting.delete(id);
    }
    const shape = shapeOf(predictions, limits);
    this.#runs += 1;
    const { memoryCost, runMs } = this.#host;
    const sum = tickets.reduce((total, { cost }) => total + cost, 0);
    const outOfMemory = shape.size > 1 && shape.cost > memoryCost;
    const ms = runMs(shape.size, shape.cost / shape.size);
    this.#outcome.batches.push({ size: shape.size, cost: shape.cost, sum, reason, ms, outOfMemory });
    return new Run({
      number: this.#runs,
      predictions,
      exclusive,
      startedAtMs: nowMs,
      hasBegun: true,
      shape,
      isOneCall: true,
    });
  }

  #begin(process: Process, run: Run): void {
    process.run = run;
    const beganAtMs = this.#time.clock.nowMs();
    for (const item of run.unfinished()) item.started = true;
    const { size, cost } = run.shape;
    this.#time.clock.after(this.#host.runMs(size, cost / size), () => this.#over(process, run, beganAtMs));
  }

  #over(process: Process, run: Run, beganAtMs: number): void {
    process.run = null;
    const members = run.unfinished().map(({ prediction }) => prediction);
    const does = (what: Job["does"]): boolean => members.some(({ ref }) => this.#jobs.get(ref.id)?.does === what);
    if (does("kills")) this.#died(process, run, members);
    else {
      const isTooLarge = run.size > 1 && run.shape.cost > this.#host.memoryCost;
      const error = isTooLarge ? "CUDA out of memory" : does("raises") ? "told to raise" : null;
      for (const item of run.unfinished()) item.error = error;
      learnFromRun(run, this.#time.clock.nowMs() - beganAtMs, this.#queue.limits);
      if (error === null) for (const prediction of members) this.#end(prediction, "done");
      else this.#again(members, "failed");
      const next = process.waiting.shift();
      if (next !== undefined) this.#begin(process, next);
    }
    this.#schedule();
  }

  #died(process: Process, run: Run, members: readonly Prediction[]): void {
    const death = { why: "it died", wasReady: true, expected: false, hung: false, deviceError: false };
    learnFromDeath([run], { ...death, outOfMemory: null, setupFailure: null }, this.#queue.limits);
    // What waited in the process had not begun.
    for (const waiting of process.waiting.splice(0)) {
      const innocent = waiting.unfinished().map(({ prediction }) => prediction);
      this.#queue.addBack(innocent, true);
      this.#waits(innocent, true, true);
    }
    this.#again(members, "crashed");
    process.isUp = false;
    this.#time.clock.after(this.#host.restartMs, () => {
      process.isUp = true;
      this.#schedule();
    });
  }

  #again(members: readonly Prediction[], alone: End): void {
    const [only] = members;
    if (members.length > 1) {
      this.#queue.addSuspects(members);
      this.#waits(members, false, false);
    } else if (only !== undefined) this.#end(only, alone);
  }

  #end({ ref }: Prediction, how: End): void {
    const job = this.#jobs.get(ref.id);
    if (job === undefined || this.#ended.has(ref.id)) return this.#problem(`${ref.id} ended twice`);
    this.#waiting.delete(ref.id);
    this.#endJob(job, how);
  }

  #endJob(job: Job, how: End): void {
    const dispatchedAtMs = this.#dispatchedAtMs.get(job.id) ?? null;
    this.#ended.set(job.id, { job, how, atMs: this.#time.clock.nowMs(), dispatchedAtMs });
  }

  #problem(what: string): void {
    this.#outcome.problems.push(`at ${this.#time.clock.nowMs()} ms: ${what}`);
  }
}
