/**
 * A model as placement sees it: what its author wants, what its work wants, and what to do while it gets no place.
 *
 * Who gets none for long hands back what it holds, so that other hosts run it, and takes nothing more; but it goes on
 * wanting its place for a while, or it would be last again with the next prediction that comes.
 */
import type { Clock } from "../../scheduling/clock.ts";
import { Demand } from "../../scheduling/placement/demand.ts";
import type { ModelNeeds } from "../../scheduling/placement/types.ts";
import { capacityOf } from "../../scheduling/room.ts";
import type { ModelLoad } from "../../scheduling/room.ts";
import type { DeviceWatch } from "../devices/device-watch.ts";
import type { Instance } from "../instance.ts";
import type { Instances } from "../instances.ts";
import { leftFor } from "../process-memory.ts";
import type { Model } from "../models/model.ts";
import { Postponed } from "../postponed.ts";
import type { Readiness } from "../readiness.ts";
import { launchKey } from "../models/configured.ts";
import type { HostPlacer } from "./host-placer.ts";
import type { Placeable } from "./placeable.ts";
import { isMisfit, Replacement } from "./replacement.ts";

/** So long a prediction waits here for a place. */
const PATIENCE_MS = 15_000;
/** So long it wants its place after what it held went back, unless it had it. */
const INSISTS_MS = 120_000;

export type PlacedModelOptions = {
  /** Tells it from all others of this host, versions of the same model too. */
  label: string;
  model: Model;
  instances: Instances;
  clock: Clock;
  placer: HostPlacer;
  devices: DeviceWatch;
  aheadBatches: number;
  /** All that was granted and doesn't run. */
  waiting(): number;
  load(nowMs: number): ModelLoad;
  readiness: Readiness;
  /** Brings all that its processes need. */
  prepareAhead?(): Promise<void>;
  /** It is served no more, and ends once it has run what it began. */
  isLeaving(): boolean;
  onRoom(): void;
};

export class PlacedModel implements Placeable {
  readonly #options: PlacedModelOptions;
  readonly #demand = new Demand();
  readonly #replacement = new Replacement();
  #isWarmDue = false;
  #preparation: "none" | "under way" | "over" = "none";
  #isClosed = false;
  #blockedSinceMs: number | null = null;
  #insistsUntilMs = -Infinity;

  constructor(options: PlacedModelOptions) {
    this.#options = options;
    options.placer.add(this);
    this.hostChanged();
  }

  get memoryHint(): number | null {
    return this.#options.model.placement.memoryHint;
  }

  get needs(): ModelNeeds {
    const { label, model, devices, isLeaving } = this.#options;
    const { count, devicesPerInstance, pinned, ...placement } = model.placement;
    const isOnCpu = !model.usesGpu || (model.cog.edgeplane.cpuFallback && this.#gpuRefusal !== null);
    return {
      model: label,
      kind: isOnCpu ? "cpu" : "cuda",
      count: count ?? (isOnCpu ? 1 : Math.max(1, Math.floor(devices.report.cuda.length / devicesPerInstance))),
      devicesPerInstance: isOnCpu ? 1 : devicesPerInstance,
      devices: isOnCpu ? null : placement.devices,
      pinned: pinned && !isLeaving(),
    };
  }

  get instances(): readonly Instance[] {
    return this.#options.instances.all;
  }

  get loadMs(): number | null {
    return this.#options.readiness.loadMs;
  }

  /** What a batch may take of memory there beyond what its process has at rest; Infinity where nobody knows. */
  leftIn(instance: Instance): number {
    const { placer, model } = this.#options;
    return leftFor(instance.memory, {
      deviceBytes: placer.shareOf(instance),
      loadBytes: placer.loadBytesOf(this),
      hostBytes: model.cog.edgeplane.memoryBytes ?? null,
    });
  }

  /** Why this host can't start it; null when it can, now or later. */
  get refusal(): string | null {
    const isOnGpu = this.needs.kind === "cuda";
    return (isOnGpu ? this.#gpuRefusal : null) ?? this.#options.placer.refusal(this);
  }

  /** Why it takes nothing while a device that is missing may be back in a moment; null when it does. */
  get pause(): string | null {
    return this.#options.instances.ready ? null : this.#options.placer.pause(this);
  }

  get #gpuRefusal(): string | null {
    const { devices, model } = this.#options;
    return devices.refusalOf(model.cog.build.cuda);
  }

  /** It was handed back for want of a place, and takes nothing. */
  get isOut(): boolean {
    return this.#options.clock.nowMs() < this.#insistsUntilMs && this.#options.instances.placed.length === 0;
  }

  /** Whether its set-up failed there as a device takes nothing, or has too little memory for it beside others. */
  isFaultOfHost(instance: Instance, isOutOfMemory: boolean): boolean {
    const { placer } = this.#options;
    if (placer.isOnFenced(instance) || (isOutOfMemory && placer.ranOut(this, instance))) return true;
    placer.failed(this, instance);
    return false;
  }

  startable(nowMs: number): number {
    const { instances, readiness } = this.#options;
    if (this.#isClosed || readiness.refusal !== null) return 0;
    const without = instances.all.filter(({ placement }) => placement === "none");
    const startable = without.filter((instance) => instance.mayStart(nowMs));
    // Where one of it works, what failed elsewhere may be a device's fault; else its other processes would fail, too.
    return instances.ready || startable.length === without.length ? startable.length : 0;
  }

  wanted(nowMs: number): number {
    const { instances, waiting, load, aheadBatches, model } = this.#options;
    if (this.#isClosed) return 0;
    const { placed } = instances;
    if (placed.length > 0) this.#isWarmDue = false;
    if (instances.ready) this.#insistsUntilMs = -Infinity;
    const insists = nowMs < this.#insistsUntilMs;
    const atLeast = model.placement.pinned || this.#isWarmDue || insists ? 1 : 0;
    const least = Math.min(this.needs.count, Math.max(placed.length, this.#replacement.kept, atLeast));
    if (waiting() === 0) return least;
    const places = placed.map((instance) => instance.place(nowMs, false));
    const missing = waiting() - capacityOf({ ...load(nowMs), places }, aheadBatches);
    const perInstance = model.slotsPerInstance * model.batching.maxBatchSize;
    return Math.min(this.needs.count, Math.max(1, least, placed.length + Math.ceil(missing / perInstance)));
  }

  prepare(): boolean {
    const { prepareAhead, instances } = this.#options;
    if (prepareAhead === undefined || instances.ready) return true;
    if (this.#preparation === "none") {
      this.#preparation = "under way";
      prepareAhead().then(
        () => this.#prepared("over"),
        (error: unknown) => {
          // A source that is away for now is asked again by the launch, which knows when to try on.
          if (error instanceof Postponed) return this.#prepared("over");
          this.#prepared("none");
          if (this.#isClosed) return;
          const message = error instanceof Error ? error.message : String(error);
          instances.all.find(({ placement }) => placement === "none")?.fail({ message, traceback: "" });
        },
      );
    }
    return this.#preparation === "over";
  }

  #prepared(how: "none" | "over"): void {
    this.#preparation = how;
    this.#options.placer.changed();
  }

  demand(nowMs: number): number {
    return this.#demand.rate(nowMs);
  }

  /** A prediction came. */
  asked(): void {
    const { clock, placer, instances } = this.#options;
    this.#demand.add(clock.nowMs());
    // One that has all that it may have needs no other plan.
    if (instances.placed.length < this.needs.count) placer.changed();
  }

  /** It should have an instance although nothing waits, also where it could not be set up a moment ago. */
  warm(): void {
    this.#options.readiness.forgive();
    for (const instance of this.#options.instances.all) instance.forgive();
    this.#isWarmDue = true;
    this.#options.placer.changed();
  }

  /** The host's devices are others than they were. */
  hostChanged(): void {
    const { instances, model } = this.#options;
    // A device that isn't seen for a moment ends nothing; what the owner says does.
    const least = model.placement.count === null ? instances.all.length : 0;
    instances.fit(Math.max(this.needs.count, least));
  }

  /** What its owner wants is something else than it was. */
  reconfigured(): void {
    this.hostChanged();
    this.#options.placer.hinted(this);
  }

  /** Ends what doesn't fit what the owner wants. Answers whether it did anything. */
  fit(): boolean {
    if (this.#isClosed) return false;
    this.hostChanged();
    const { instances, placer, model } = this.#options;
    if (placer.isBlocked(this)) this.#replacement.giveUp();
    const leaving = this.#replacement.next(instances, {
      count: model.placement.count ?? Infinity,
      misfits: instances.placed.filter((one) => isMisfit(one, this.needs, launchKey(model))),
    });
    for (const instance of leaving) instance.stop(null);
    return leaving.length > 0;
  }

  /** Starts nothing any more. */
  close(): void {
    this.#isClosed = true;
  }

  /** Whether there is no place for the instance of this number, as room is told. The first of all may wait for one. */
  isWithoutPlace(index: number): boolean {
    const { instances, placer } = this.#options;
    if (instances.all[index]?.placement !== "none") return false;
    const before = instances.all.slice(0, index).filter(({ placement }) => placement === "none").length;
    return before >= Math.max(placer.placesFor(this), instances.placed.length === 0 ? 1 : 0);
  }

  /** Called a few times a second while it holds predictions: whether they should go back, as no place comes. */
  isPatienceOver(nowMs: number): boolean {
    const { instances, placer, clock, onRoom } = this.#options;
    if (instances.placed.length > 0 || !placer.isBlocked(this)) {
      this.#blockedSinceMs = null;
      return false;
    }
    this.#blockedSinceMs ??= nowMs;
    if (nowMs - this.#blockedSinceMs < PATIENCE_MS) return false;
    this.#blockedSinceMs = null;
    this.#insistsUntilMs = nowMs + INSISTS_MS;
    clock.after(INSISTS_MS + 1, onRoom);
    return true;
  }
}
