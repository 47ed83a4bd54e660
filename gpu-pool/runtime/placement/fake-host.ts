/**
 * For tests: a host whose cards and models are numbers. Processes take memory of the cards when they load, hold it
 * while they live, and run one job after the other; time goes in steps, from one event to the next.
 */
import type { Clock } from "../../scheduling/clock.ts";
import { Demand } from "../../scheduling/placement/demand.ts";
import type { ModelNeeds } from "../../scheduling/placement/types.ts";
import { HostPlacer } from "./host-placer.ts";
import type { Placeable, PlaceableInstance } from "./placeable.ts";

/** What it takes of a device in truth, and what its author says; memory in any unit. */
export type FakeModelSpec = {
  bytes: number;
  hint: number | null;
  loadMs: number;
  runMs: number;
  count: number;
  devicesPerInstance: number;
  pinned: boolean;
};

/** Promises that hang on a step settle before the next; none here is longer. */
const SETTLING_TURNS = 12;

async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLING_TURNS; turn += 1) await Promise.resolve();
}

export class FakeHost {
  nowMs = 0;
  /** Loads that didn't fit. */
  ranOut = 0;
  loads = 0;
  readonly placer: HostPlacer;
  readonly models: FakeModel[] = [];
  readonly cards: readonly { id: string; size: number }[];
  /** Looks at the cards fail. */
  isBlind = false;
  /** Called while they are looked at. */
  onLook: () => void = () => {};
  /** What other programs hold of them. */
  readonly others = new Map<string, number>();
  #timers: { atMs: number; run: () => void }[] = [];
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    after: (delayMs, run) => {
      const timer = { atMs: this.nowMs + delayMs, run };
      this.#timers.push(timer);
      return () => void (this.#timers = this.#timers.filter((one) => one !== timer));
    },
  };

  constructor(sizes: readonly number[], specs: readonly FakeModelSpec[]) {
    this.cards = sizes.map((size, index) => ({ id: String(index), size }));
    this.placer = new HostPlacer({
      clock: this.clock,
      devices: () =>
        this.cards.map(({ id, size }) => ({
          id,
          kind: "cuda",
          memoryBytes: size,
          problem: null,
          usedBytes: this.isBlind ? null : this.usedOf(id),
        })),
      look: async () => {
        this.onLook();
        this.placer.looked();
      },
      onBlocked() {},
    });
    for (const spec of specs) this.add(spec);
    this.placer.changed();
  }

  /** One more model is served. */
  add(spec: FakeModelSpec): FakeModel {
    const model = new FakeModel(this, `m${this.models.length}`, spec);
    this.models.push(model);
    this.placer.add(model);
    return model;
  }

  /** What the processes on it, and other programs, hold in truth. */
  usedOf(card: string): number {
    return this.models
      .flatMap(({ instances }) => instances)
      .filter(({ devices }) => devices.includes(card))
      .reduce((sum, { held }) => sum + held, this.others.get(card) ?? 0);
  }

  /** What the placer has set aside on it. */
  setAside(card: string): number {
    return this.models
      .flatMap(({ instances }) => instances)
      .filter(({ devices, placement }) => placement !== "none" && devices.includes(card))
      .reduce((sum, instance) => sum + (this.placer.bytesOf(instance) ?? 0), 0);
  }

  /** Nothing happens any more: the cards are looked at, as they are from time to time. Whether something follows. */
  async lookAgain(): Promise<boolean> {
    this.placer.looked();
    await settle();
    return this.#timers.length > 0;
  }

  /** Goes to the next event; false when there is none. */
  async step(untilMs = Infinity): Promise<boolean> {
    await settle();
    let next: { atMs: number; run: () => void } | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.atMs < next.atMs) next = timer;
    if (next === undefined || next.atMs > untilMs) return false;
    this.#timers = this.#timers.filter((timer) => timer !== next);
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.run();
    await settle();
    return true;
  }
}

export class FakeModel implements Placeable {
  readonly host: FakeHost;
  readonly spec: FakeModelSpec;
  readonly needs: ModelNeeds;
  readonly instances: FakeInstance[];
  /** Jobs by number: how often each ran to its end. */
  readonly done = new Map<number, number>();
  readonly queue: number[] = [];
  broken = false;
  loadMs: number | null = null;
  readonly #demand = new Demand();

  constructor(host: FakeHost, name: string, spec: FakeModelSpec) {
    const { count, devicesPerInstance, pinned } = spec;
    this.host = host;
    this.spec = spec;
    this.needs = { model: name, kind: "cuda", count, devicesPerInstance, devices: null, pinned };
    this.instances = Array.from({ length: count }, (_, index) => new FakeInstance(this, `${name}#${index}`));
  }

  get memoryHint(): number | null {
    return this.spec.hint;
  }

  startable(): number {
    return this.broken ? 0 : this.instances.filter(({ placement }) => placement === "none").length;
  }

  wanted(): number {
    const has = this.instances.filter(({ placement }) => placement !== "none" && placement !== "leaving").length;
    const least = this.spec.pinned ? 1 : 0;
    return Math.max(least, Math.min(this.spec.count, this.queue.length > has ? has + 1 : has));
  }

  demand(nowMs: number): number {
    return this.#demand.rate(nowMs);
  }

  submit(job: number): void {
    this.#demand.add(this.host.nowMs);
    this.queue.push(job);
    this.work();
    this.host.placer.changed();
  }

  work(): void {
    for (const instance of this.instances) {
      if (instance.placement !== "idle") continue;
      const job = this.queue.shift();
      if (job === undefined) return;
      instance.run(job);
    }
  }
}

export class FakeInstance implements PlaceableInstance {
  readonly name: string;
  readonly model: FakeModel;
  devices: readonly string[] = [];
  placement: PlaceableInstance["placement"] = "none";
  readyAtMs = 0;
  lastUsedMs = 0;
  /** What its process holds of each device in truth. */
  held = 0;
  job: number | null = null;
  /** Counts its lives: what was begun in an earlier one is over. */
  #life = 0;

  constructor(model: FakeModel, name: string) {
    this.model = model;
    this.name = name;
  }

  start(devices: readonly string[]): void {
    this.devices = devices;
    this.placement = "loading";
    void this.#load((this.#life += 1));
  }

  retire(): void {
    this.placement = "leaving";
    if (this.job === null) this.#leave();
  }

  run(job: number): void {
    const { clock } = this.model.host;
    const life = this.#life;
    this.job = job;
    this.placement = "busy";
    clock.after(this.model.spec.runMs, () => {
      if (life !== this.#life) return;
      this.job = null;
      this.model.done.set(job, (this.model.done.get(job) ?? 0) + 1);
      this.lastUsedMs = clock.nowMs();
      if (this.placement === "leaving") this.#leave();
      else {
        this.placement = "idle";
        this.model.work();
      }
      this.model.host.placer.changed();
    });
  }

  /** Its process dies; what it ran waits again. */
  crash(): void {
    if (this.placement === "none" || this.placement === "loading") return;
    if (this.job !== null) this.model.queue.unshift(this.job);
    this.job = null;
    this.#gone();
    this.model.work();
  }

  async #load(life: number): Promise<void> {
    const { host, spec } = this.model;
    await host.placer.aboutToLoad(this);
    if (life !== this.#life) return;
    host.loads += 1;
    if (this.devices.some((card) => host.usedOf(card) + spec.bytes > (host.cards[Number(card)]?.size ?? 0))) {
      host.clock.after(1, () => this.#ranOut(life));
      return;
    }
    this.held = spec.bytes;
    const { clock } = host;
    clock.after(spec.loadMs, () => {
      if (life !== this.#life) return;
      this.readyAtMs = this.lastUsedMs = clock.nowMs();
      this.placement = "idle";
      this.model.loadMs = spec.loadMs;
      void host.placer.loaded(this.model, this);
      this.model.work();
    });
  }

  #ranOut(life: number): void {
    if (life !== this.#life) return;
    const { host } = this.model;
    host.ranOut += 1;
    this.model.broken = !host.placer.ranOut(this.model, this);
    this.#gone();
  }

  #leave(): void {
    const life = this.#life;
    this.model.host.clock.after(20, () => {
      if (life === this.#life) this.#gone();
    });
  }

  #gone(): void {
    this.#life += 1;
    this.placement = "none";
    this.held = 0;
    this.model.host.placer.gone(this);
    this.devices = [];
  }
}
