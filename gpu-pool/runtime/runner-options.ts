/** What a model's runner is given, and what it tells. */
import type { ModelRef } from "../../src/contract/prediction.ts";
import type { Reason } from "../scheduling/batcher.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { Loaded } from "./child-messages.ts";
import type { DeviceWatch } from "./devices/device-watch.ts";
import type { Instance, Launch, SetupProblem } from "./instance.ts";
import type { Death } from "./model-process.ts";
import type { ModelRunner } from "./model-runner.ts";
import type { Model } from "./models/model.ts";
import type { HostPlacer } from "./placement/host-placer.ts";
import type { Prediction, Reporter } from "./prediction.ts";
import type { Run } from "./run.ts";

/**
 * `begin`: an attempt of this claim runs on these devices; `off`: it does no longer. `lives`: what an instance uses its
 * devices for while it runs nothing; null: it has left them.
 */
export type RunMeter = {
  lives(instance: { name: string; model: ModelRef; devices: readonly string[] }, phase: Instance["phase"]): void;
  begin(token: string, devices: readonly string[], cost: number): void;
  off(token: string): void;
};

export type RunnerOptions = {
  /** What it is called on this host: `owner/name`, with the version where others of that name are here. */
  label: string;
  model: Model;
  devices: DeviceWatch;
  /** Gives its instances their devices, over all models of the host. */
  placer: HostPlacer;
  clock: Clock;
  report: Reporter;
  /** Told what waits for a slot, and what is about to leave for a process, by token. */
  waiting?: { waits(tokens: readonly string[]): void; begins(tokens: readonly string[]): void };
  /** Told who has devices. */
  meter: RunMeter;
  /** Everything of a launch but what the runner adds itself. */
  launch(instance: string, kind: "cpu" | "cuda"): Promise<Omit<Launch, "onLoaded">>;
  /** Brings all that its processes need before one has a place. Throws when that can't be, `Postponed` for now. */
  prepareAhead?(): Promise<void>;
  /** Fetches and checks the input; the schema is null when the model has none. Throws with a message for the client. */
  prepare(prediction: Prediction, schema: Loaded["schema"]): Promise<void> | null;
  cancelGraceMs: number;
  /** The most batches that wait for each slot. */
  aheadBatches: number;
  /** How many of this model's starts may be counted that don't run yet: other models share its devices. */
  startQuota(runner: ModelRunner): number;
  /** Why this host takes nothing of a model with this signature for now (pressure.ts); null when it does. */
  shortage(schema: Loaded["schema"] | null): string | null;
  /** A prediction met a full disk. */
  onDiskFull(): void;
  onLoaded(loaded: Loaded): void;
  /** A process of it is ready. */
  onSetUp?(): void;
  /** A slot, or a place in the queue, may have become free or taken. */
  onRoom(): void;
  /** The pool no longer holds it, and its runs are over: `deviceMs` says what they took. */
  onEnded(prediction: Prediction): void;
  observe: RunnerObserver;
};

/** A batch that was given to a process. */
export type Dispatched = {
  size: number;
  reason: Reason;
  /** How long each member waited here, in milliseconds. */
  waitsMs: readonly number[];
  /** The share of the batch that is padding, 0 to 1; null where predictions have no cost. */
  waste: number | null;
};

/** What telemetry hears; everything is counted, nothing of a prediction's content is told. */
export type RunnerObserver = {
  batch(batch: Dispatched): void;
  /** A batch is over, `ms` after its start; it took so much of memory, null where nobody knows. */
  ran(ms: number, takenBytes: number | null): void;
  ended(outcome: string, prediction: Prediction): void;
  bisected(): void;
  /** `loadMs`: since its process was asked for. */
  ready(instance: string, setupSeconds: number, loadMs: number): void;
  /** `leftMs`: how long it took to leave for another model; null where it didn't. */
  died(instance: string, death: Death, runs: readonly Run[], leftMs: number | null): void;
  broken(instance: string, problem: SetupProblem): void;
  printed(text: string): void;
};
