/**
 * The devices of this host as they are now. GPUs are looked at when the pool starts, every few seconds while it has
 * models for them, and whenever somebody must know exactly; looks that come together are one.
 *
 *   unknown ── look ──▶ well (devices) ⇄ problem (why no GPU can be used)
 */
import { availableParallelism, cpus, totalmem } from "node:os";
import { MAX_DEVICE_PROBLEM_CHARS } from "../../../src/contract/channel.ts";
import type { Device } from "../../../src/contract/channel.ts";
import type { Clock } from "../../scheduling/clock.ts";
import { askCudaVersion, cudaProblem } from "./cuda-version.ts";
import type { CheckResult } from "./device-check.ts";
import { askDriver } from "./driver-cards.ts";
import type { DriverCard } from "./driver-cards.ts";
import { askNvidiaSmi } from "./nvidia-smi.ts";
import { KnownCards } from "./known-cards.ts";
import type { KnownCard } from "./known-cards.ts";
import type { SmiReport } from "./nvidia-smi.ts";
import { visibleOf } from "./visible.ts";

const LOOK_EVERY_MS = 15_000;
/** While a card is missing that may be back in a moment. */
const LOOK_FOR_MISSING_MS = 3000;
/** A driver may be slow for a while, or never say which CUDA it runs. */
const MOST_VERSION_ASKS = 5;

export type DeviceReport = {
  cuda: KnownCard[];
  /** Why no GPU can be used, or what was complained of beside those that can; null when all is well. */
  problem: string | null;
};

export type DeviceWatchOptions = {
  clock: Clock;
  /** The value of CUDA_VISIBLE_DEVICES; undefined where it is not set. */
  visible: string | undefined;
  ask?: () => Promise<SmiReport>;
  /** Which cards the driver has, where these are more than the `named` ones. */
  askDriver?: (named: number) => Promise<DriverCard[]>;
  /** Which CUDA the driver runs; null where nobody knows. */
  askVersion?: () => Promise<string | null>;
  /** Whether a device computes; left out, nobody checks. */
  check?: (id: string) => Promise<CheckResult>;
};

export class DeviceWatch {
  report: DeviceReport = { cuda: [], problem: "the GPUs have not been looked at yet" };
  /** Called after each look. */
  onLook: () => void = () => {};
  /** The newest CUDA that the driver runs; null where nobody knows. */
  cudaVersion: string | null = null;
  readonly #options: DeviceWatchOptions;
  readonly #ask: () => Promise<SmiReport>;
  #versionAsks = 0;
  /** Behind the look that began last. */
  #latest: Promise<unknown> = Promise.resolve();
  /** The look that has not begun. */
  #next: Promise<DeviceReport> | null = null;
  #isStarted = false;
  #stop: () => void = () => {};
  readonly #cards = new KnownCards();
  /** The uuids that the numbers of `visible` stand for. */
  readonly #numbered = new Map<string, string>();
  /** Why devices are fenced that failed their check, by uuid. */
  readonly #sick = new Map<string, string>();

  constructor(options: DeviceWatchOptions) {
    this.#options = options;
    this.#ask = options.ask ?? askNvidiaSmi;
  }

  /**
   * Why this pool can put nothing on a GPU; null when it can, and while one is missing that may be back in a moment.
   */
  get refusal(): string | null {
    const { cuda, problem } = this.report;
    const isHopeful = cuda.some((device) => device.problem === null || device.isAwaited);
    if (cuda.length > 0) return isHopeful ? null : (cuda[0]?.problem ?? null);
    return problem ?? "CUDA_VISIBLE_DEVICES leaves this pool no GPU";
  }

  /** Why it can put no model on a GPU that wants this CUDA (`build.cuda` of its cog.yaml); null when it can. */
  refusalOf(cuda: string | undefined): string | null {
    return this.refusal ?? cudaProblem("build.cuda of cog.yaml is", cuda, this.cudaVersion);
  }

  /** CUDA devices, or the one CPU when there are none: as the edge is told. */
  get devices(): Device[] {
    const { cuda } = this.report;
    return cuda.length === 0
      ? [cpuDevice()]
      : cuda.map(({ id, name, memoryBytes, problem }) => ({
          ...{ id, kind: "cuda" as const, name, memoryBytes },
          ...(problem === null ? {} : { problem: problem.slice(0, MAX_DEVICE_PROBLEM_CHARS) }),
        }));
  }

  /**
   * Looks now. A look that is under way may have missed what has just changed: another one follows it then, one for all
   * who ask meanwhile.
   */
  look(): Promise<DeviceReport> {
    if (this.#next === null) {
      const begin = (): Promise<DeviceReport> => {
        this.#next = null;
        return this.#look();
      };
      this.#next = this.#latest.then(begin, begin);
      this.#latest = this.#next;
    }
    return this.#next;
  }

  /**
   * Checks each device that seems well, all at once; one that computes wrongly, or not at all, takes nothing from then
   * on. Answers why others could not be checked.
   */
  async check(): Promise<string[]> {
    const { check } = this.#options;
    if (check === undefined) return [];
    const unchecked: string[] = [];
    await Promise.all(
      this.report.cuda.map(async ({ id, uuid, problem }) => {
        if (problem !== null) return;
        const { state, why } = await check(id);
        if (state === "sick") this.#sick.set(uuid, `GPU ${id} failed its check: ${why}`);
        if (state === "unknown") unchecked.push(`GPU ${id}: ${why}`);
      }),
    );
    if (this.#sick.size > 0) await this.look();
    return unchecked;
  }

  /** Looks again and again, from now on. */
  start(): void {
    this.#isStarted = true;
    this.#lookLater();
  }

  stop(): void {
    this.#isStarted = false;
    this.#stop();
  }

  #lookLater(): void {
    this.#stop();
    const isAwaiting = this.report.cuda.some((device) => device.isAwaited);
    const delayMs = isAwaiting ? LOOK_FOR_MISSING_MS : LOOK_EVERY_MS;
    this.#stop = this.#options.clock.after(delayMs, () => void this.look());
  }

  async #look(): Promise<DeviceReport> {
    const { devices, problem } = await this.#ask().catch((error: unknown) => unasked(error));
    const ofDriver = devices.length === 0 ? [] : await (this.#options.askDriver ?? askDriver)(devices.length);
    const known = this.#cards.named({ devices, problem }, this.#options.clock.nowMs(), ofDriver);
    // A part of a card is named by nobody: where no card is, it can't be used either.
    const isSilent = devices.length === 0;
    const unnamed = { problem: isSilent ? problem : null, isAwaited: isSilent && known.some((card) => card.isAwaited) };
    const cuda = visibleOf(known, this.#options.visible, this.#numbered).map((device) => {
      if (device.problem !== null) return device;
      const sick = this.#sick.get(device.uuid);
      return { ...device, ...(sick === undefined ? unnamed : { problem: sick }) };
    });
    if (devices.length > 0 && this.cudaVersion === null && this.#versionAsks < MOST_VERSION_ASKS) {
      this.#versionAsks += 1;
      this.cudaVersion = await (this.#options.askVersion ?? askCudaVersion)();
    }
    this.report = { cuda, problem };
    if (this.#isStarted) this.#lookLater();
    this.onLook();
    return this.report;
  }
}

/** A host that is out of memory can't start a program at all: the next look may. */
function unasked(error: unknown): SmiReport {
  const why = error instanceof Error ? error.message : String(error);
  return { devices: [], problem: `nvidia-smi can't be started: ${why}` };
}

function cpuDevice(): Device {
  const name = `${cpus()[0]?.model.trim() ?? "CPU"} (${availableParallelism()} threads)`;
  return { id: "cpu", kind: "cpu", name, memoryBytes: totalmem() };
}
