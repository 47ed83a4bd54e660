/**
 * The models that this pool serves, by path and version. They come, go and are replaced while it runs; several versions
 * of one model are served side by side.
 *
 *   add() ──▶ offered ── retire(), or replaced by another add() ──▶ leaving ── nothing of it runs ──▶ gone
 *
 * One that leaves is offered to nobody: it hands back what has not begun, finishes what runs, and ends its processes.
 */
import { modelPath } from "../src/contract/manifest.ts";
import type { ModelRef } from "../src/contract/prediction.ts";
import { LaneNameSchema } from "../src/contract/job.ts";
import type { Fleet } from "./runners.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import type { Model } from "./runtime/models/model.ts";
import type { Clock } from "./scheduling/clock.ts";
import { versionKey } from "./version-key.ts";

/** How long processes that run nothing may take to leave. */
const LEAVE_MS = 2000;
const LOOK_MS = 20;
/** Of a version, so much is in a label. */
const SHOWN_VERSION = 8;

export type ModelSetOptions = {
  fleet: Fleet;
  clock: Clock;
  /** Predictions that wait for their turn to run alone, of this model; see suspects.ts. */
  suspectsOf(runner: ModelRunner): number;
  releaseSuspects(runner: ModelRunner): void;
  /** Other models are offered than before. */
  onChange(): void;
};

export class ModelSet {
  readonly #options: ModelSetOptions;
  readonly #offered = new Map<string, ModelRunner>();
  readonly #leaving = new Map<ModelRunner, Promise<void>>();
  readonly #labels = new Map<ModelRunner, string>();
  readonly #lanes = new Set<string>();
  #all: readonly ModelRunner[] = [];

  constructor(options: ModelSetOptions) {
    this.#options = options;
  }

  /** Those that are offered, and behind them those that leave. */
  get runners(): readonly ModelRunner[] {
    return this.#all;
  }

  get offered(): readonly ModelRunner[] {
    return this.#all.filter(({ isLeaving }) => !isLeaving);
  }

  get models(): Model[] {
    return this.offered.map(({ model }) => model);
  }

  /** All lanes that this pool ever served, in order: one without a model is told that it has no room. */
  get lanes(): string[] {
    return [...this.#lanes].sort();
  }

  /** What takes predictions of this version; undefined where nothing does. */
  find(ref: ModelRef): ModelRunner | undefined {
    return this.#offered.get(versionKey(ref));
  }

  /** The lane of a version that is here, or leaves; null for others. */
  laneOf(ref: ModelRef): string | null {
    const key = versionKey(ref);
    const runner = this.#offered.get(key) ?? this.#all.find(({ model }) => versionKey(model.manifest) === key);
    return runner?.model.manifest.lane ?? null;
  }

  /** Whether this version was offered, and what runs of it isn't over. */
  isLeaving(ref: ModelRef): boolean {
    const key = versionKey(ref);
    return [...this.#leaving.keys()].some(({ model }) => versionKey(model.manifest) === key);
  }

  /** Offers it. One of the same version leaves in its favour, and what it had in memory is loaded anew. */
  add(model: Model): ModelRunner {
    const runner = this.#add(model);
    this.#options.onChange();
    return runner;
  }

  /** Offers them, before anybody is told of any. */
  begin(models: readonly Model[]): void {
    for (const model of models) this.#add(model);
  }

  /** Resolves when nothing of it is left on this host; at once where it isn't here. */
  async retire(ref: ModelRef): Promise<void> {
    const runner = this.#offered.get(versionKey(ref));
    if (runner === undefined) {
      await Promise.all(this.#ends(ref));
      return;
    }
    this.#offered.delete(versionKey(ref));
    const gone = this.#leave(runner);
    this.#options.onChange();
    await gone;
  }

  #ends(ref: ModelRef): Promise<void>[] {
    const key = versionKey(ref);
    return [...this.#leaving].flatMap(([{ model }, gone]) => (versionKey(model.manifest) === key ? gone : []));
  }

  #add(model: Model): ModelRunner {
    const key = versionKey(model.manifest);
    const before = this.#offered.get(key);
    const label = this.#labelOf(model);
    const runner = this.#options.fleet.make(model, label);
    this.#labels.set(runner, label);
    this.#lanes.add(LaneNameSchema.parse(model.manifest.lane));
    this.#offered.set(key, runner);
    if (before !== undefined) void this.#leave(before);
    if (before !== undefined && before.instances.placed.length > 0) runner.warm();
    this.#changed();
    return runner;
  }

  async #leave(runner: ModelRunner): Promise<void> {
    runner.leave();
    this.#options.releaseSuspects(runner);
    const gone = this.#end(runner);
    this.#leaving.set(runner, gone);
    this.#changed();
    return gone;
  }

  async #end(runner: ModelRunner): Promise<void> {
    const { clock, suspectsOf, fleet } = this.#options;
    await this.#until(() => runner.held === 0 && suspectsOf(runner) === 0, Infinity);
    runner.shutdown(LEAVE_MS);
    const isAlive = (): boolean => runner.instances.all.some(({ process }) => process !== null);
    await this.#until(() => !isAlive(), clock.nowMs() + LEAVE_MS + 500);
    runner.instances.kill();
    await this.#until(() => !isAlive(), Infinity);
    fleet.remove(runner);
    this.#leaving.delete(runner);
    this.#labels.delete(runner);
    this.#changed();
  }

  /** Resolves when it is so, or it is `byMs`. */
  async #until(isSo: () => boolean, byMs: number): Promise<void> {
    const { clock } = this.#options;
    while (!isSo() && clock.nowMs() < byMs) await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }

  #changed(): void {
    this.#all = [...this.#offered.values(), ...this.#leaving.keys()];
  }

  /** The path; with the version, and a number, where others of that name are here. */
  #labelOf({ manifest }: Model): string {
    const taken = new Set(this.#labels.values());
    const path = modelPath(manifest);
    const named = `${path}@${manifest.version.slice(0, SHOWN_VERSION)}`;
    let label = taken.has(path) ? named : path;
    for (let number = 2; taken.has(label); number += 1) label = `${named}.${number}`;
    return label;
  }
}
