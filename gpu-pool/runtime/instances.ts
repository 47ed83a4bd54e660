/** All instances of one model, seen as one: where a batch may go, and how much they can take. */
import { Instance } from "./instance.ts";
import type { InstanceOptions, InstanceState } from "./instance.ts";
import type { Prediction } from "./prediction.ts";
import type { Run } from "./run.ts";

/** The state to show for several instances is the first of these that one of them is in. */
const BY_WEIGHT: readonly InstanceState[] = ["busy", "ready", "starting", "looping", "waiting", "broken"];

/** What a process said of its end may be long. */
const SHOWN_CHARACTERS = 500;

/** Of these something may be expected. */
const GETS_ON: ReadonlySet<InstanceState> = new Set(["busy", "ready", "starting"]);

export class Instances {
  readonly all: Instance[] = [];
  readonly #numbers = new Map<Instance, number>();
  readonly #optionsOf: (index: number) => InstanceOptions;

  constructor(optionsOf: (index: number) => InstanceOptions) {
    this.#optionsOf = optionsOf;
  }

  /** Makes it `count` of them: more where there are fewer, and fewer as far as some have no place. */
  fit(count: number): void {
    while (this.all.length < count) this.#add();
    while (this.all.length > count) {
      const index = this.all.findLastIndex(({ placement }) => placement === "none");
      const [dropped] = index === -1 ? [] : this.all.splice(index, 1);
      if (dropped === undefined) return;
      this.#numbers.delete(dropped);
    }
  }

  /** With the least number that no other has. */
  #add(): void {
    const taken = new Set(this.#numbers.values());
    let number = 0;
    while (taken.has(number)) number += 1;
    const instance = new Instance(this.#optionsOf(number));
    this.#numbers.set(instance, number);
    this.all.push(instance);
  }

  /** Those that have a place, and stay there. */
  get placed(): Instance[] {
    return this.all.filter(({ placement }) => placement !== "none" && placement !== "leaving");
  }

  /** One of them takes work, or will when it is done with what it does. */
  get ready(): boolean {
    return this.placed.some(({ state }) => state === "ready" || state === "busy");
  }

  /** None has a place, as one could not be set up. */
  get broken(): boolean {
    return this.placed.length === 0 && this.all.some(({ state }) => state === "broken");
  }

  /** When the earliest of those was asked for that are starting; null when none is. */
  get startingSinceMs(): number | null {
    const since = this.all.flatMap(({ state, launchedAtMs }) =>
      state === "starting" && launchedAtMs !== null ? launchedAtMs : [],
    );
    return since.length === 0 ? null : Math.min(...since);
  }

  get state(): InstanceState {
    return BY_WEIGHT.find((state) => this.all.some((instance) => instance.state === state)) ?? "stopped";
  }

  /** Why it is parked: all that it has die again and again; null while one doesn't. */
  get parkedBy(): string | null {
    const looping = this.all.find(({ state }) => state === "looping");
    if (looping === undefined || this.all.some(({ state }) => GETS_ON.has(state))) return null;
    const why = looping.lastDeath ?? "nobody knows of what";
    return `its process dies again and again: ${why.slice(0, SHOWN_CHARACTERS)}`;
  }

  /** The one that may take a batch and has the most free slots, but for `resting`; null when none may. */
  roomiest(resting: Instance | null = null): Instance | null {
    let best: Instance | null = null;
    for (const instance of this.all) {
      if (instance !== resting && instance.open && (best === null || instance.freeSlots > best.freeSlots))
        best = instance;
    }
    return best;
  }

  /** One that takes a batch behind the one that it runs; null when none does. */
  get ahead(): Instance | null {
    return this.all.find(({ opensAhead }) => opensAhead) ?? null;
  }

  /** Those that wait in a process behind another batch, and were sent at this time or before. */
  sent(byMs = Infinity): Prediction[] {
    return this.all.flatMap((instance) => instance.sent(byMs));
  }

  /** Takes one out that waits in a process: it won't run. */
  withdraw(prediction: Prediction): void {
    const place = this.placeOf(prediction);
    const item = place?.run.item(prediction.ref.token);
    if (item === undefined) return;
    item.done = true;
    place?.instance.process?.cancel(prediction.ref.token);
  }

  /** Where a prediction runs. */
  placeOf(prediction: Prediction): { instance: Instance; run: Run } | null {
    for (const instance of this.all) {
      for (const run of instance.runs.values()) {
        if (run.item(prediction.ref.token)?.prediction === prediction) return { instance, run };
      }
    }
    return null;
  }

  /** Ends those that run nothing. */
  stopIdle(graceMs: number): void {
    for (const instance of this.all) if (instance.state === "ready") instance.stop(graceMs);
  }

  stop(graceMs: number): void {
    for (const instance of this.all) instance.stop(graceMs);
  }

  kill(): void {
    for (const instance of this.all) {
      instance.stop(0);
      instance.process?.kill("the pool ends");
    }
  }
}
