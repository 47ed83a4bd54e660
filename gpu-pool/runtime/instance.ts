/**
 * One instance: a model's process on the devices that placement gave it. It is replaced there when it dies, and leaves
 * them when it is stopped or can't be set up.
 *
 *   stopped ── start() ──▶ up (a process starts or runs) ── death ──▶ waiting (restart policy) ──▶ up
 *   up ── setup failed, or died before ready too often ──▶ broken ── start() after the pause ──▶ up
 *   up ── setup raised, and went well before ──▶ up, once: what it met may be gone by now
 *   any ── stop() ──▶ stopped: leaving while its process still lives, then without a place
 */
import type { Place } from "../scheduling/room.ts";
import type { Clock } from "../scheduling/clock.ts";
import { createRestartPolicy, restartDefaults } from "../scheduling/restart-policy.ts";
import { Streak } from "../scheduling/streak.ts";
import type { SlotMessage } from "./child-messages.ts";
import { ModelProcess } from "./model-process.ts";
import type { Death, ProcessOptions } from "./model-process.ts";
import { isOutOfMemory } from "./out-of-memory.ts";
import { Postponed, POSTPONED_MS } from "./postponed.ts";
import type { Prediction } from "./prediction.ts";
import { ProcessMemory } from "./process-memory.ts";
import type { Run } from "./run.ts";

export type Launch = Omit<
  ProcessOptions,
  "onReady" | "onGone" | "onGrew" | "onSlotMessage" | "onPrinted" | "clock" | "cudaVisibleDevices"
> & {
  /** No process is started of it after all. */
  discard?(): void;
};

export type SetupProblem = { message: string; traceback: string };

export type InstanceOptions = {
  name: string;
  /** Batches that it runs at a time. */
  slots: number;
  clock: Clock;
  /** What to start; asks for the environment first, and throws when that can't be made, or its devices are gone. */
  launch(instance: Instance, kind: "cpu" | "cuda"): Promise<Launch>;
  onReady(instance: Instance, setupSeconds: number): void;
  onSlotMessage: (instance: Instance, ...message: Parameters<ProcessOptions["onSlotMessage"]>) => void;
  onGone(instance: Instance, death: Death, runs: Run[]): void;
  onBroken(instance: Instance, problem: SetupProblem): void;
  onGrew(bytes: number): void;
  onPrinted(text: string): void;
  /** It has begun, or ceased, to use its devices, or uses them for something else. */
  onLife?(instance: Instance): void;
  /** It could not be started, and may be tried again. */
  onMayStart?(): void;
};

export type InstanceState = "stopped" | "starting" | "ready" | "busy" | "waiting" | "looping" | "broken";

const PRINTED_CHARS = 4096;
const RECYCLE_EVERY_MS = 600_000;
/** So many different predictions in a row that break the device say that it is not they. */
const SICK_AFTER = 3;
const SICK_UNPROVEN = 2;

export class Instance {
  readonly name: string;
  /** The batches that it was given, by their numbers. */
  readonly runs = new Map<number, Run>();
  /** Of its latest process. */
  memory = new ProcessMemory();
  /** What its latest process was launched with, as `launchKey` says it; null before the first. */
  launchedWith: string | null = null;
  restarts = 0;
  /** Why its last process died that was not told to; null while none did. */
  lastDeath: string | null = null;
  /** Where it is, or was last. */
  devices: readonly string[] = [];
  /** When its latest process was asked for; null before the first. */
  launchedAtMs: number | null = null;
  /** When it was first ready in its place: its turn there goes on where one process follows another. */
  readyAtMs = Infinity;
  /** When a batch of it ended last. */
  lastUsedMs = 0;
  /** Suspects wait for it to be idle: its free slots take nothing else. */
  isResting = false;
  #kind: "cpu" | "cuda" = "cpu";
  /** Of the process that lives: whether a prediction succeeded, and how many have failed since. */
  readonly #deviceErrors = new Streak(SICK_AFTER);
  /** A prediction has succeeded on these devices, and how many processes broke them since or without one. */
  #isProven = false;
  #breaks = 0;
  #wasWell = false;
  /** Its set-up went well, and has not raised since. */
  #setsUp = false;
  #failures = 0;
  #recycleFromMs = -Infinity;
  /** A launch that was overtaken by another starts nothing. */
  #launches = 0;
  #process: ModelProcess | null = null;
  #state: Exclude<InstanceState, "ready" | "busy"> = "stopped";
  #retryAtMs = 0;
  #retiredAtMs: number | null = null;
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

  /** What it is to placement. */
  get placement(): "none" | "loading" | "idle" | "busy" | "leaving" {
    if (this.#state === "broken") return "none";
    if (this.#state === "stopped") return this.#process === null ? "none" : "leaving";
    const process = this.#process?.state;
    if (process === "busy") return "busy";
    return process === "ready" || this.#state === "looping" ? "idle" : "loading";
  }

  /** What it uses its devices for while it runs nothing; null: it is on none. */
  get phase(): "setup" | "idle" | "drain" | null {
    const { placement } = this;
    if (placement === "none") return null;
    if (placement === "leaving") return "drain";
    return this.#isWarm ? "idle" : "setup";
  }

  /** Whether it may be started, now that it has no place. */
  mayStart(nowMs: number): boolean {
    return this.placement === "none" && (this.#state !== "broken" || nowMs >= this.#retryAtMs);
  }

  /** What this one can take now, as room is computed from it. `isOut`: there is no place for it. */
  place(nowMs: number, isOut: boolean): Place {
    return {
      device: this.devices[0] ?? "cpu",
      slots: this.#process?.slots ?? this.#options.slots,
      free: this.isResting || this.#isExclusive ? 0 : this.freeSlots,
      runningForMs: [...this.runs.values()].flatMap(({ hasBegun, calledAtMs, startedAtMs }) =>
        hasBegun && calledAtMs === null ? nowMs - startedAtMs : [],
      ),
      state: this.#isWarm ? "warm" : isOut || this.#isOut(nowMs) ? "out" : "cold",
    };
  }

  /** It is loaded, and stays. */
  get #isWarm(): boolean {
    return this.#state !== "stopped" && (this.state === "ready" || this.state === "busy");
  }

  #isOut(nowMs: number): boolean {
    if (this.#state === "looping" || this.placement === "leaving") return true;
    return this.#state === "broken" && nowMs < this.#retryAtMs;
  }

  get freeSlots(): number {
    return this.#process?.freeSlots ?? 0;
  }

  /** True when a batch may go in: not while an exclusive one runs. */
  get open(): boolean {
    return this.freeSlots > 0 && !this.#isExclusive;
  }

  /** True when a batch may wait in it behind the one that runs. */
  get opensAhead(): boolean {
    return this.#process?.takesAhead === true && !this.#isExclusive;
  }

  /** The group that has it to itself; null while none does. */
  get group(): number | null {
    for (const run of this.runs.values()) if (run.exclusive) return run.group;
    return null;
  }

  get #isExclusive(): boolean {
    return [...this.runs.values()].some(({ exclusive }) => exclusive);
  }

  /** Those that wait in it behind another batch, and were sent at this time or before. */
  sent(byMs: number): Prediction[] {
    const waiting = [...this.runs.values()].filter(({ hasBegun, startedAtMs }) => !hasBegun && startedAtMs <= byMs);
    return waiting.flatMap((run) => run.unfinished().map(({ prediction }) => prediction));
  }

  /** The batch that a slot speaks of. */
  runOf(slot: number, message: SlotMessage): Run | undefined {
    for (const run of this.runs.values()) {
      if (run.slot !== slot) continue;
      const isIt = "batch" in message ? run.number === message.batch : run.has(message.id);
      if (isIt) return run;
    }
    return undefined;
  }

  /** Starts it on these devices, if it has no place and may. */
  start(devices: readonly string[], kind: "cpu" | "cuda"): void {
    if (!this.mayStart(this.#options.clock.nowMs())) return;
    this.devices = devices;
    this.readyAtMs = Infinity;
    this.#isProven = false;
    this.#kind = kind;
    void this.#launch();
  }

  /** Ends it once it has finished what it runs, however long that takes. */
  retire(): void {
    if (this.#process !== null) this.#retiredAtMs ??= this.#options.clock.nowMs();
    this.stop(null);
  }

  /** Its process is gone: how long it took to leave its place for another model; null where it didn't have to. */
  leftMs(): number | null {
    const sinceMs = this.#retiredAtMs;
    this.#retiredAtMs = null;
    return sinceMs === null ? null : this.#options.clock.nowMs() - sinceMs;
  }

  /** Lets what runs finish, then ends the process; after `graceMs` in any case, unless that is null. */
  stop(graceMs: number | null): void {
    this.#cancelTimer();
    this.#enter("stopped");
    this.#process?.shutdown(graceMs);
  }

  /**
   * A prediction ended in it. One that was well and then fails everything is replaced: after `limit` failures in a row
   * (0: never), and no sooner than ten minutes after the last time.
   */
  heard(outcome: string, limit: number): void {
    if (outcome === "succeeded") {
      this.#wasWell = true;
      this.#isProven = true;
      this.#breaks = 0;
      this.#deviceErrors.end();
    }
    this.#failures = outcome === "failed" ? this.#failures + 1 : 0;
    const nowMs = this.#options.clock.nowMs();
    if (limit === 0 || !this.#wasWell || this.#failures < limit || nowMs < this.#recycleFromMs) return;
    this.#recycleFromMs = nowMs + RECYCLE_EVERY_MS;
    this.#process?.sicken(`its last ${limit} predictions failed`);
  }

  /**
   * A process of it broke its device with this prediction. Whether that is the device's fault: several different ones
   * did so in a row, or it never worked here and broke twice.
   */
  isSick(id: string): boolean {
    this.#breaks += 1;
    return this.#deviceErrors.hit(id) || (!this.#isProven && this.#breaks >= SICK_UNPROVEN);
  }

  /** It is of no use where it is: as if it could not be set up. */
  fail(problem: SetupProblem): void {
    this.#breaks = 0;
    this.#deviceErrors.end();
    this.#break(problem, restartDefaults.brokenMs);
  }

  /** It could not be set up, and may be started anew at once: elsewhere it may fit. */
  forgive(): void {
    if (this.#state === "broken") this.#enter("stopped");
  }

  async #launch(): Promise<void> {
    this.#enter("starting");
    this.#launches += 1;
    const launches = this.#launches;
    this.launchedAtMs = this.#options.clock.nowMs();
    this.#printed = "";
    let launch: Launch | undefined;
    try {
      launch = await this.#options.launch(this, this.#kind);
      if (this.#state === "starting" && launches === this.#launches) this.#process = this.#spawn(launch);
      else launch.discard?.();
    } catch (error) {
      launch?.discard?.();
      if (this.#state !== "starting" || launches !== this.#launches) return;
      if (error instanceof Postponed) return this.#postpone();
      this.#break(
        { message: error instanceof Error ? error.message : String(error), traceback: "" },
        restartDefaults.brokenMs,
      );
    }
  }

  /** As if it could not be set up, but nobody hears of a problem. */
  #postpone(): void {
    this.#enter("broken");
    this.#retryAfter(POSTPONED_MS);
  }

  #retryAfter(delayMs: number): void {
    const { clock, onMayStart } = this.#options;
    this.#retryAtMs = clock.nowMs() + delayMs;
    clock.after(delayMs, () => onMayStart?.());
  }

  /** Throws where this host can't make the process its folder. */
  #spawn(launch: Launch): ModelProcess {
    const { clock } = this.#options;
    const process = new ModelProcess({
      ...launch,
      clock,
      cudaVisibleDevices: this.#kind === "cuda" ? this.devices.join(",") : "",
      onReady: (setupSeconds, deviceBytes) => {
        this.memory = new ProcessMemory(deviceBytes);
        this.lastUsedMs = clock.nowMs();
        this.readyAtMs = Math.min(this.readyAtMs, this.lastUsedMs);
        this.#wasWell = false;
        this.#setsUp = true;
        this.#failures = 0;
        this.#policy.ready();
        this.#options.onLife?.(this);
        this.#options.onReady(this, setupSeconds);
      },
      onGrew: (bytes) => this.#options.onGrew(bytes),
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
    if (!death.expected) this.lastDeath = death.why;
    const stopped = this.#state === "stopped";
    this.#enter(stopped ? "stopped" : "waiting");
    this.#options.onGone(this, death, runs);
    if (this.#state !== "waiting") return;
    if (death.setupFailure !== null) {
      const { message, traceback } = death.setupFailure;
      // One that took too long, or too much, has no traceback.
      const isTriedAgain = this.#setsUp && traceback !== "" && !isOutOfMemory(death.setupFailure);
      this.#setsUp = false;
      if (isTriedAgain) {
        this.restarts += 1;
        void this.#launch();
        return;
      }
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

  #enter(state: Exclude<InstanceState, "ready" | "busy">): void {
    this.#state = state;
    this.#options.onLife?.(this);
  }

  #break(problem: SetupProblem, retryAfterMs: number): void {
    this.#enter("broken");
    this.#retryAfter(retryAfterMs);
    this.#options.onBroken(this, problem);
  }
}
