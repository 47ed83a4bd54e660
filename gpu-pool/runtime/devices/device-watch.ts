/**
 * The devices of this host as they are now. GPUs are looked at when the pool starts, every few seconds while it has
 * models for them, and whenever somebody must know exactly; looks that come together are one.
 *
 *   unknown ── look ──▶ well (devices) ⇄ problem (why no GPU can be used)
 */
import { availableParallelism, cpus, totalmem } from "node:os";
import type { Device } from "../../../src/contract/channel.ts";
import type { Clock } from "../../scheduling/clock.ts";
import { askCudaVersion, cudaProblem } from "./cuda-version.ts";
import type { CheckResult } from "./device-check.ts";
import { askNvidiaSmi } from "./nvidia-smi.ts";
import type { CudaDevice, SmiReport } from "./nvidia-smi.ts";
import { visibleOf } from "./visible.ts";

const LOOK_EVERY_MS = 15_000;

export type DeviceReport = {
  cuda: CudaDevice[];
  /** Why no GPU can be used, or what was complained of beside those that can; null when all is well. */
  problem: string | null;
};

export type DeviceWatchOptions = {
  clock: Clock;
  /** The value of CUDA_VISIBLE_DEVICES; undefined where it is not set. */
  visible: string | undefined;
  ask?: () => Promise<SmiReport>;
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
  #hasAskedVersion = false;
  #underway: Promise<DeviceReport> | null = null;
  #stop: () => void = () => {};
  /** Why devices are fenced that failed their check, by uuid. */
  readonly #sick = new Map<string, string>();

  constructor(options: DeviceWatchOptions) {
    this.#options = options;
    this.#ask = options.ask ?? askNvidiaSmi;
  }

  /** Why this pool can put nothing on a GPU; null when it can. */
  get refusal(): string | null {
    const { cuda, problem } = this.report;
    if (cuda.length > 0) return cuda.every((device) => device.problem !== null) ? (cuda[0]?.problem ?? null) : null;
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
      : cuda.map(({ id, name, memoryBytes }) => ({ id, kind: "cuda" as const, name, memoryBytes }));
  }

  /** Looks, or waits for the look that is under way. */
  look(): Promise<DeviceReport> {
    this.#underway ??= this.#look().finally(() => (this.#underway = null));
    return this.#underway;
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
    this.#stop = this.#options.clock.after(LOOK_EVERY_MS, () => {
      void this.look();
      this.start();
    });
  }

  stop(): void {
    this.#stop();
  }

  async #look(): Promise<DeviceReport> {
    const { devices, problem } = await this.#ask();
    const cuda = visibleOf(devices, this.#options.visible).map((device) => ({
      ...device,
      problem: device.problem ?? this.#sick.get(device.uuid) ?? null,
    }));
    if (devices.length > 0 && !this.#hasAskedVersion) {
      this.#hasAskedVersion = true;
      this.cudaVersion = await (this.#options.askVersion ?? askCudaVersion)();
    }
    this.report = { cuda, problem };
    this.onLook();
    return this.report;
  }
}

function cpuDevice(): Device {
  const name = `${cpus()[0]?.model.trim() ?? "CPU"} (${availableParallelism()} threads)`;
  return { id: "cpu", kind: "cpu", name, memoryBytes: totalmem() };
}
