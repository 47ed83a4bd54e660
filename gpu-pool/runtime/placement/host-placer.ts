/**
 * Carries out what placement decides for this host (scheduling/placement/plan.ts): collects what its models want and
 * have, starts instances on the devices that were chosen, ends those that were chosen to leave, and learns what each
 * model takes.
 *
 * It keeps no plan: after every change, gathered over one turn of the event loop, it plans anew.
 */
import type { Clock } from "../../scheduling/clock.ts";
import { MemoryEstimate } from "../../scheduling/placement/memory-estimate.ts";
import { refusalOf, sizesHadWhole } from "../../scheduling/placement/refusal.ts";
import type { PlacedInstance, PlacementDevice, PlacementModel } from "../../scheduling/placement/types.ts";
import { Beyond } from "./beyond.ts";
import { Foreign } from "./foreign.ts";
import type { Known, Load } from "./known.ts";
import { usedOf } from "./placeable.ts";
import type { Placeable, PlaceableInstance, SeenDevice } from "./placeable.ts";
import { planPrepared } from "./prepared-first.ts";
import { Shortages } from "./shortages.ts";

export type HostPlacerOptions = {
  clock: Clock;
  /** The devices, as they were seen last. */
  devices(): readonly SeenDevice[];
  /** Looks at them now. */
  look(): Promise<unknown>;
  /** Others get no place now than did before. */
  onBlocked(): void;
};

/** Runs begin and end by the thousand; what they mean for placement is looked at so often. */
const SOON_MS = 50;

export class HostPlacer {
  readonly #options: HostPlacerOptions;
  readonly #known = new Map<Placeable, Known>();
  /** What placed instances are taken to use of each of their devices. */
  readonly #bytes = new Map<PlaceableInstance, number>();
  readonly #beyond = new Beyond(this.#bytes);
  /** Instances that have had no process in their place yet: while these load, they hold no memory. */
  readonly #unstarted = new WeakSet<PlaceableInstance>();
  readonly #loads = new WeakMap<PlaceableInstance, Load>();
  /** Instances that run, of models whose memory no look has measured yet. */
  readonly #unmeasured = new Map<PlaceableInstance, Known>();
  readonly #foreign = new Foreign();
  readonly #shortages = new Shortages();
  #isDue = false;
  #isSoon = false;
  #cancelTimer: () => void = () => {};

  constructor(options: HostPlacerOptions) {
    this.#options = options;
  }

  add(placeable: Placeable): void {
    const memory = new MemoryEstimate(placeable.memoryHint);
    this.#known.set(placeable, { placeable, memory, wantedSinceMs: null, failedOn: new Set() });
    // Its room is told soon: how many places it would get is looked at before.
    this.changed();
  }

  /** It has no instance any more, and wants none. */
  remove(placeable: Placeable): void {
    this.#known.delete(placeable);
    this.changed();
  }

  /** Its author says otherwise what it takes. */
  hinted(placeable: Placeable): void {
    const known = this.#known.get(placeable);
    if (known !== undefined) known.memory.hint = placeable.memoryHint;
    this.changed();
  }

  /** Somebody waits for a place, or takes less for want of one. */
  get isContended(): boolean {
    return this.#shortages.isAny;
  }

  /** It wants an instance more than it can have now. */
  isBlocked(placeable: Placeable): boolean {
    return this.#shortages.isBlocked(placeable);
  }

  /** How many more instances than it has would get a place now; Infinity while nothing speaks against any. */
  placesFor(placeable: Placeable): number {
    return this.#shortages.placesFor(placeable);
  }

  /** Why it can never have an instance here; null when it can, also if only once a device is back that is missing. */
  refusal(placeable: Placeable): string | null {
    const devices = this.#devices();
    return this.#refusalOn(
      placeable,
      devices.map((device) => (device.isAwaited === true ? { ...device, problem: null } : device)),
    );
  }

  /** Why it can't have an instance before a device is back that is missing; null when it can, or never will. */
  pause(placeable: Placeable): string | null {
    const awaited = this.#options.devices().find((device) => device.isAwaited === true);
    if (awaited === undefined || this.refusal(placeable) !== null) return null;
    return this.#refusalOn(placeable, this.#devices()) === null ? null : awaited.problem;
  }

  /** Whether a device of it takes nothing new, or is gone: what goes wrong there says nothing of its model. */
  isOnFenced({ devices }: PlaceableInstance): boolean {
    const well = new Set(this.#options.devices().flatMap(({ id, problem }) => (problem === null ? id : [])));
    return !devices.every((id) => well.has(id));
  }

  #refusalOn(placeable: Placeable, devices: readonly PlacementDevice[]): string | null {
    const known = this.#known.get(placeable);
    if (known === undefined) return null;
    const { bytes, least } = known.memory;
    return refusalOf({ ...placeable.needs, bytes, least }, devices, this.#pinnedBeside(placeable));
  }

  /** What an instance is taken to use of each of its devices; null for one without a place. */
  bytesOf(instance: PlaceableInstance): number | null {
    return this.#bytes.get(instance) ?? null;
  }

  /** What it may hold of each of its devices: what it is known to, and what nobody takes; null where nobody knows. */
  shareOf(instance: PlaceableInstance): number | null {
    const own = this.#bytes.get(instance);
    const left = this.#leftOn(instance);
    return own === undefined || left === Infinity ? null : own - this.#beyond.of(instance) + left;
  }

  /** What a load of it took of a device; null before the first. */
  loadBytesOf(placeable: Placeable): number | null {
    return this.#known.get(placeable)?.memory.loadBytes ?? null;
  }

  /** Work waits, or a place may have become free: looked at within a moment, however often that is said. */
  changedSoon(): void {
    if (this.#isSoon) return;
    this.#isSoon = true;
    this.#options.clock.after(SOON_MS, () => {
      this.#isSoon = false;
      this.changed();
    });
  }

  /** Anything may have changed; it plans once, at the end of this turn of the event loop. */
  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#settle();
    });
  }

  /**
   * The devices were looked at. What is used of one beyond what is foreign and what is known of ours is set down to
   * those of ours that are there.
   */
  looked(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const { id, usedBytes, memoryBytes } of this.#options.devices()) {
      if (usedBytes === null) continue;
      const residents = this.#instances().filter((one) => one.placement !== "none" && one.devices.includes(id));
      const processes = residents.filter((one) => one.placement !== "loading" || !this.#unstarted.has(one));
      this.#foreign.looked(id, usedBytes, processes);
      if (residents.some(({ placement }) => placement === "loading")) continue;
      const ours = Math.min(usedBytes, memoryBytes ?? Infinity) - this.#foreign.of(id);
      const excess = ours - this.#takenOf(id);
      if (excess > 0) for (const one of residents) this.#beyond.setDown(one, excess / residents.length, nowMs);
      else this.#beyond.takeBack(residents, -excess, nowMs);
    }
    for (const [instance, known] of this.#unmeasured) this.#measureLate(instance, known);
    this.changed();
  }

  /** An instance's process is about to be started: what its devices hold is noted. */
  async aboutToLoad(instance: PlaceableInstance): Promise<void> {
    const kinds = new Map(this.#options.devices().map((device) => [device.id, device.kind]));
    if (!instance.devices.some((id) => kinds.get(id) === "cuda")) return;
    await this.#options.look().finally(() => this.#unstarted.delete(instance));
    const used = usedOf(instance, this.#options.devices());
    if (used === null) return;
    const others = this.#neighbours(instance);
    for (const other of others) this.#doubt(other);
    this.#loads.set(instance, { used, isDoubtful: others.some((other) => other.placement === "loading") });
  }

  /** It is loaded: what its devices hold more than before is what an instance takes. */
  async loaded(placeable: Placeable, instance: PlaceableInstance): Promise<void> {
    const load = this.#loads.get(instance);
    const known = this.#known.get(placeable);
    for (const id of instance.devices) known?.failedOn.delete(id);
    if (load !== undefined && known !== undefined) {
      await this.#options.look();
      // `gone` forgets the load of an instance that died meanwhile: nothing is measured then.
      if (this.#loads.get(instance) === load) {
        this.#loads.delete(instance);
        this.#measure(known, load, usedOf(instance, this.#options.devices()));
        if (known.memory.bytes === null) this.#unmeasured.set(instance, known);
      }
    }
    this.changed();
  }

  #measure(known: Known, load: Load, used: ReadonlyMap<string, number> | null): void {
    // A doubtful number is better than none: what nobody knows holds all that was free.
    if (used === null || (load.isDoubtful && known.memory.bytes !== null)) return;
    const taken = Math.max(0, ...Array.from(used, ([id, bytes]) => bytes - (load.used.get(id) ?? 0)));
    if (load.isDoubtful && taken === 0) return;
    this.#loadTook(known, taken, used, load.isDoubtful);
  }

  /** No look told what its load took: no more can it be than its devices hold now beyond what is known of others. */
  #measureLate(instance: PlaceableInstance, known: Known): void {
    const used = usedOf(instance, this.#options.devices());
    if (used === null || known.memory.bytes !== null) return;
    const own = this.#bytes.get(instance) ?? 0;
    const most = Array.from(used, ([id, bytes]) => bytes - this.#foreign.of(id) - this.#takenOf(id) + own);
    if (Math.max(...most) > 0) this.#loadTook(known, Math.max(...most), used, true);
  }

  #loadTook(known: Known, taken: number, used: ReadonlyMap<string, number>, isDoubtful: boolean): void {
    known.memory.loaded(
      taken,
      Math.min(
        ...this.#devices().flatMap(({ id, memoryBytes, foreignBytes }) =>
          used.has(id) && memoryBytes !== null ? memoryBytes - foreignBytes : [],
        ),
      ),
      isDoubtful,
    );
    this.#charge(known);
  }

  /** A process says that it has allocated so much since it was loaded. */
  grew(placeable: Placeable, bytes: number): void {
    const known = this.#known.get(placeable);
    if (known === undefined) return;
    known.memory.grew(bytes);
    this.#charge(known);
  }

  /** It died or ended: what is measured beside it meanwhile says nothing. */
  gone(instance: PlaceableInstance): void {
    this.#loads.delete(instance);
    this.#unmeasured.delete(instance);
    this.#foreign.gone(instance);
    for (const other of this.#neighbours(instance)) this.#doubt(other);
    this.changed();
  }

  /** It could not be set up there, which may be its devices' fault: it is tried on others before. */
  failed(placeable: Placeable, { devices }: PlaceableInstance): void {
    for (const id of devices) this.#known.get(placeable)?.failedOn.add(id);
  }

  /** Its load ran out of memory. Whether it may be tried again: with whole devices, then with larger ones. */
  ranOut(placeable: Placeable, instance: PlaceableInstance): boolean {
    const known = this.#known.get(placeable);
    if (known === undefined) return false;
    const pinned = this.#pinnedBeside(placeable);
    const own = this.#bytes.get(instance) ?? 0;
    const others = this.#neighbours(instance).filter(({ name }) => pinned.every(({ id }) => id !== name));
    const devices = this.#devices().filter(({ id }) => instance.devices.includes(id));
    if (devices.every(({ memoryBytes }) => memoryBytes === null)) return false;
    const whole = sizesHadWhole(own, devices, pinned, others);
    // Before it was to have them whole, another program may have had a part that nobody knew of. Which of several was
    // too small isn't told: it is taken to be the smallest that it had whole.
    if (known.memory.alone && whole.length > 0) known.memory.exceeds(Math.min(...whole));
    else known.memory.ranOut();
    this.changed();
    return !known.memory.isHopeless && this.refusal(placeable) === null;
  }

  #settle(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const placeable of this.#known.keys()) if (placeable.fit?.() === true) this.changed();
    for (const instance of this.#bytes.keys()) if (instance.placement === "none") this.#bytes.delete(instance);
    const models = [...this.#known.values()].map((known) => this.#modelOf(known, nowMs));
    const seen = { devices: this.#devices(), models, instances: this.#placed() };
    const { host, plan } = planPrepared(this.#known.keys(), seen, nowMs);
    const shortages = this.#shortages.planned(this.#known.keys(), host, plan, nowMs);
    if (shortages.isNews) this.#options.onBlocked();
    for (const { model, devices, bytes } of plan.starts) this.#start(model, devices, bytes);
    for (const name of plan.evictions)
      this.#instances()
        .find((instance) => instance.name === name)
        ?.retire();
    this.#cancelTimer();
    const lookAgainInMs = Math.min(plan.lookAgainInMs, shortages.lookAgainInMs);
    this.#cancelTimer =
      lookAgainInMs === Infinity ? () => {} : this.#options.clock.after(Math.ceil(lookAgainInMs), () => this.changed());
  }

  #start(model: string, devices: readonly string[], bytes: number): void {
    for (const { placeable } of this.#known.values()) {
      if (placeable.needs.model !== model) continue;
      const nowMs = this.#options.clock.nowMs();
      const instance = placeable.instances.find((one) => one.placement === "none" && one.mayStart?.(nowMs) !== false);
      if (instance === undefined) return;
      this.#bytes.set(instance, bytes);
      this.#beyond.forget(instance);
      this.#unstarted.add(instance);
      instance.start(devices, placeable.needs.kind);
    }
  }

  #modelOf(known: Known, nowMs: number): PlacementModel {
    const { placeable, memory, failedOn } = known;
    const wanted = placeable.wanted(nowMs);
    const has = placeable.instances.filter(({ placement }) => placement !== "none" && placement !== "leaving").length;
    if (wanted <= has) known.wantedSinceMs = null;
    else known.wantedSinceMs ??= nowMs;
    return {
      ...placeable.needs,
      bytes: memory.bytes,
      least: memory.least,
      alone: memory.alone,
      failedOn,
      wanted,
      wantedSinceMs: known.wantedSinceMs ?? nowMs,
      startable: placeable.startable(nowMs),
      loadMs: placeable.loadMs,
      demand: placeable.demand(nowMs),
    };
  }

  #devices(): (PlacementDevice & Pick<SeenDevice, "isAwaited">)[] {
    return this.#options.devices().map((device) => ({ ...device, foreignBytes: this.#foreign.of(device.id) }));
  }

  #instances(): PlaceableInstance[] {
    return [...this.#known.keys()].flatMap(({ instances }) => instances);
  }

  #placed(): PlacedInstance[] {
    return [...this.#known.keys()].flatMap(({ needs, instances }) =>
      instances.flatMap((instance) => {
        const { name, devices, placement, readyAtMs, lastUsedMs } = instance;
        if (placement === "none") return [];
        const bytes = this.#bytes.get(instance) ?? 0;
        return { id: name, model: needs.model, devices, bytes, state: placement, readyAtMs, lastUsedMs };
      }),
    );
  }

  /** Others that have a place on one of its devices. */
  #neighbours(instance: PlaceableInstance): PlaceableInstance[] {
    return this.#instances().filter(
      (other) =>
        other !== instance && other.placement !== "none" && other.devices.some((id) => instance.devices.includes(id)),
    );
  }

  #doubt(instance: PlaceableInstance): void {
    const load = this.#loads.get(instance);
    if (load !== undefined) load.isDoubtful = true;
  }

  /**
   * What is known of a model is set aside for all of its instances, as far as their devices have it: what they take
   * beyond it shows as foreign.
   */
  #charge({ placeable, memory }: Known): void {
    if (memory.bytes === null || memory.alone) return;
    for (const instance of placeable.instances) {
      const own = this.#bytes.get(instance);
      if (own === undefined) continue;
      this.#bytes.set(instance, Math.min(memory.bytes, own + this.#leftOn(instance)));
      this.#beyond.forget(instance);
    }
  }

  /** What nobody takes of that device of it that has the least; Infinity where none says what it has. */
  #leftOn({ devices }: PlaceableInstance): number {
    const left = this.#devices().flatMap(({ id, memoryBytes, foreignBytes }) =>
      devices.includes(id) && memoryBytes !== null ? memoryBytes - foreignBytes - this.#takenOf(id) : [],
    );
    return Math.max(0, Math.min(...left));
  }

  #takenOf(device: string): number {
    return this.#placed()
      .filter(({ devices }) => devices.includes(device))
      .reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Others that are never ended. One that is measured by its load has all that was free only until then. */
  #pinnedBeside({ needs }: Placeable): PlacedInstance[] {
    const owners = new Map([...this.#known.values()].map((one) => [one.placeable.needs.model, one]));
    return this.#placed().filter(({ model, state }) => {
      const owner = owners.get(model);
      if (model === needs.model || owner?.placeable.needs.pinned !== true) return false;
      return state !== "loading" || owner.memory.bytes !== null;
    });
  }
}
