/**
 * One instance: a place on a device where a model's process runs, is replaced when it dies, and stopped when idle.
 *
 *   stopped ── start() ──▶ up (a process starts or runs) ── death ──▶ waiting (restart policy) ──▶ up
 *   up ── setup failed, or died before ready too often ──▶ broken ── start() after the pause ──▶ up
 *   any ── stop() ──▶ stopped ── start() while the process still leaves ──▶ waiting ── death ──▶ up
 */
import type { Place } from "../scheduling/room.ts";
import type { Clock } from "../scheduling/clock.ts";
import { createRestartPolicy, restartDefaults } from "../scheduling/restart-policy.ts";
import { ModelProcess } from "./model-process.ts";
import type { Death, ProcessOptions } from "./model-process.ts";
import type { Run } from "./run.ts";

export type Launch = Omit<
  ProcessOptions,
  "onReady" | "onGone" | "onSlotMessage" | "onPrinted" | "clock" | "cudaVisibleDevices"
>;

export type SetupProblem = { message: string; traceback: string };

export type InstanceOptions = {
  name: string;
  cudaVisibleDevices: string;
  /** Batches that it runs at a time. */
  slots: number;
  clock: Clock;
  /** What to start; asks for the environment first, and throws when that can't be made. */
  launch(): Promise<Launch>;
  onReady(instance: Instance, setupSeconds: number): void;
  onSlotMessage: (instance: Instance, ...message: Parameters<ProcessOptions["onSlotMessage"]>) => void;
  onGone(instance: Instance, death: Death, runs: Run[]): void;
  onBroken(instance: Instance, problem: SetupProblem): void;
  onPrinted(text: string): void;
};

export type InstanceState = "stopped" | "starting" | "ready" | "busy" | "waiting" | "looping" | "broken";

const PRINTED_CHARS = 4096;

export class Instance {
  readonly name: string;
  /** The batches that run, by slot. */
  readonly runs = new Map<number, Run>();
  restarts = 0;
  /** When its latest process was asked for; null before the first. */
  launchedAtMs: number | null = null;
  #process: ModelProcess | null = null;
  #state: Exclude<InstanceState, "ready" | "busy"> = "stopped";
  #retryAtMs = 0;
  #cancelTimer: () => void = () => {};
  /** The end of what the process printed while it started: a death without words is explained by it. */
  #printed = "";
  readonly #options: InstanceOptions;
  readonly #policy = createRestartPolicy();

  constructor(options: InstanceOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get process(): ModelProcess | null {
    return this.#process;
  }

  get state(): InstanceState {
    const process = this.#process?.state;
    return process === "ready" || process === "busy" ? process : this.#state;
  }

  /** What this one can take now, as room is computed from it. */
  place(nowMs: number): Place {
    const { cudaVisibleDevices, slots } = this.#options;
    const isOut = this.#state === "looping" || (this.#state === "broken" && nowMs < this.#retryAtMs);
    return {
      device: cudaVisibleDevices === "" ? "cpu" : cudaVisibleDevices,
      slots,
      free: this.freeSlots,
      runningForMs: Array.from(this.runs.values(), ({ startedAtMs }) => nowMs - startedAtMs),
      state: this.state === "ready" || this.state === "busy" ? "warm" : isOut ? "out" : "cold",
    };
  }

  get freeSlots(): number {
    return this.#process?.freeSlots ?? 0;
  }

  /** True when a batch may go in: not while an exclusive one runs. */
  get open(): boolean {
    if (this.freeSlots === 0) return false;
    for (const run of this.runs.values()) if (run.exclusive) return false;
    return true;
  }

  /**
   * Starts it if it is stopped, or broken and its pause is over. A process that is leaving goes first: a device may not
   * hold two.
   */
  start(): void {
    if (this.#state === "stopped" && this.#process !== null) {
      this.#state = "waiting";
      return;
    }
    const mayRetry = this.#state === "broken" && this.#options.clock.nowMs() >= this.#retryAtMs;
    if (this.#state === "stopped" || mayRetry) void this.#launch();
  }

  /** Lets what runs finish, then ends the process. */
  stop(graceMs: number): void {
    this.#cancelTimer();
    this.#state = "stopped";
    this.#process?.shutdown(graceMs);
  }

  async #launch(): Promise<void> {
    this.#state = "starting";
    this.launchedAtMs = this.#options.clock.nowMs();
    this.#printed = "";
    try {
      const launch = await this.#options.launch();
      if (this.#state === "starting") this.#process = this.#spawn(launch);
    } catch (error) {
      this.#break(
        { message: error instanceof Error ? error.message : String(error), traceback: "" },
        restartDefaults.brokenMs,
      );
    }
  }

  /** Throws where this host can't make the process its folder. */
  #spawn(launch: Launch): ModelProcess {
    const { clock, cudaVisibleDevices } = this.#options;
    const process = new ModelProcess({
      ...launch,
      clock,
      cudaVisibleDevices,
      onReady: (setupSeconds) => {
        this.#policy.ready();
        this.#options.onReady(this, setupSeconds);
      },
      onSlotMessage: (slot, message, frame) => this.#options.onSlotMessage(this, slot, message, frame),
      onPrinted: (text) => {
        if (process.state === "starting") this.#printed = (this.#printed + text).slice(-PRINTED_CHARS);
        this.#options.onPrinted(text);
      },
      onGone: (death) => this.#gone(death),
    });
    return process;
  }

  #gone(death: Death): void {
    const runs = [...this.runs.values()];
    this.runs.clear();
    this.#process = null;
    const stopped = this.#state === "stopped";
    if (!stopped) this.#state = "waiting";
    this.#options.onGone(this, death, runs);
    if (stopped) return;
    if (death.setupFailure !== null) {
      const { message, traceback } = death.setupFailure;
      this.#break({ message, traceback: traceback || this.#printed }, restartDefaults.brokenMs);
      return;
    }
    if (death.expected) {
      void this.#launch();
      return;
    }
    const decision = this.#policy.died(this.#options.clock.nowMs());
    if (decision.restart === "broken") {
      this.#break(
        { message: `the process died before it was ready: ${death.why}`, traceback: this.#printed },
        decision.retryAfterMs,
      );
      return;
    }
    this.restarts += 1;
    if (decision.looping) this.#state = "looping";
    this.#cancelTimer = this.#options.clock.after(decision.delayMs, () => void this.#launch());
  }

  #break(problem: SetupProblem, retryAfterMs: number): void {
    this.#state = "broken";
    this.#retryAtMs = this.#options.clock.nowMs() + retryAfterMs;
    this.#options.onBroken(this, problem);
  }
}
