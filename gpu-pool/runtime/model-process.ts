/**
 * One model process: the single owner of its state, its control channel and its slots.
 *
 *   starting ── ready ──▶ ready ⇄ busy ── exit, silence, kill ──▶ defunct
 *   starting ── setup_failed, exit, setup limit ──▶ defunct
 *
 * It spawns `python -m edgeplane_child`, speaks python/PROTOCOL.md, and tells its owner what happened; it decides
 * nothing about batches.
 */
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { Duplex, Readable } from "node:stream";
import type { Clock } from "../scheduling/clock.ts";
import { BusySlots } from "./busy-slots.ts";
import { ControlMessageSchema, SlotMessageSchema } from "./child-messages.ts";
import type { ControlMessage, Loaded, RunMessage, SlotMessage } from "./child-messages.ts";
import { encodeFrame, FrameDecoder } from "./frames.ts";
import type { Frame } from "./frames.ts";
import { HealthWatch } from "./health-watch.ts";
import type { FileOwner, Jail } from "./isolation/types.ts";
import type { MemoryGroup } from "./memory-caps/types.ts";
import type { Life } from "./models/model-lives.ts";
import type { Origin } from "./prediction.ts";
import { signalGroup } from "./process-group.ts";
import { howItEnded, makeScratch, startProcess } from "./process-surroundings.ts";
import { stagingOf } from "./inputs.ts";
import { removeFolder, removeStrangers } from "./remove-folder.ts";
import { type UseLimits, UseWatch } from "./use-watch.ts";

/** How long a sick process that runs nothing may take to leave by itself. */
const LEAVE_MS = 5000;
/** How long after the exit the pipes may take to run dry. */
const DRAIN_MS = 300;
/** One that hangs in a driver dies of no signal: so long after it was killed it is given up. */
const UNKILLABLE_MS = 30_000;
const KEEP_SCRATCH_MS = 600_000;
/** How often a process is looked at. */
const LOOK_MS = 1000;

export type ProcessState = "starting" | "ready" | "busy" | "defunct";

export type ProcessOptions = {
  python: string;
  env: Record<string, string>;
  modelDir: string;
  /** The folder on `PYTHONPATH` that holds `edgeplane_child`. */
  childPath: string;
  /** The module to run; tests put their own there. */
  childModule: string;
  slots: number;
  /** How many runs a slot should take behind the one that runs; default: none. */
  runsAhead?: number;
  scratchDir: string;
  /** What keeps it from the pool's secrets and from other models; null: nothing does. */
  jail: Jail | null;
  cudaVisibleDevices: string;
  clock: Clock;
  /** How long import and `setup()` may take. */
  setupTimeoutMs: number;
  /** No sign of life for so long: it hangs. */
  silenceMs: number;
  /** A slot that runs something and says nothing of it for so long hangs; null: it may. */
  progressMs: number | null;
  /** What it may take of the host; without it, whatever there is. */
  use?: UseLimits;
  /** Where the kernel sees to its memory. */
  group?: MemoryGroup | null;
  /** How often a model that has a healthcheck is asked. */
  healthEveryMs: number;
  /** Notes that a process of the model lives, and when it works. */
  lives?(): Life;
  onLoaded(loaded: Loaded): void;
  onReady(setupSeconds: number, deviceBytes: number): void;
  onSlotMessage(slot: number, message: SlotMessage, frame: Frame): void;
  /** It has taken so many bytes more of a device than when it was ready; told when that grows. */
  onGrew?(bytes: number): void;
  /** What it printed outside a prediction. */
  onPrinted(text: string): void;
  /** It is gone; called once. */
  onGone(death: Death): void;
};

export type Death = {
  /** In words, for people. */
  why: string;
  wasReady: boolean;
  /** The pool asked for it. */
  expected: boolean;
  /** It stopped giving signs of life. */
  hung: boolean;
  /** An error of its device left it useless. */
  deviceError: boolean;
  /** The kernel ended it, as it wanted more memory than it may have; null where nobody would know. */
  outOfMemory: boolean | null;
  /** It said so, or its setup took too long; then the traceback is empty. */
  setupFailure: { message: string; traceback: string } | null;
};

export class ModelProcess {
  readonly origin: Origin;
  readonly #options: ProcessOptions;
  readonly #child: ChildProcess;
  readonly #slotStreams: Duplex[] = [];
  readonly #control: Duplex;
  readonly #busySlots = new BusySlots();
  /** How many runs a slot takes behind the one that runs. */
  #ahead = 0;
  /** It can run nothing more: what it still says doesn't count. */
  #isCondemned = false;
  /** A model that runs one thing at a time has one slot, whatever its author asked for. */
  #usableSlots: number;
  #state: ProcessState = "starting";
  #wasReady = false;
  #expected = false;
  #hung = false;
  /** Why it takes no more work and leaves when it runs nothing; null while it is well. */
  #sick: string | null = null;
  #hasHealthcheck = false;
  /** What it had of a device when it was ready, and the most since. */
  #readyBytes = 0;
  #grownBytes = 0;
  readonly #health: HealthWatch;
  #why: string | null = null;
  #setupFailure: Death["setupFailure"] = null;
  #heardAtMs: number;
  #stopWatching: () => void = () => {};
  readonly #life: Life | undefined;

  /** Spawns the process. A command that doesn't exist ends in `onGone`. Throws what the system refuses otherwise. */
  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#usableSlots = options.slots;
    this.origin = { scratchDir: options.scratchDir, fileMark: randomUUID(), isConfined: options.jail !== null };
    this.#health = new HealthWatch({
      clock: options.clock,
      everyMs: options.healthEveryMs,
      ask: () => this.#tell({ type: "healthcheck" }),
      onSick: (why) => this.sicken(why),
    });
    makeScratch(options);
    this.#life = options.lives?.();
    try {
      this.#child = startProcess(options, this.origin);
    } catch (error) {
      this.#life?.ended();
      throw error;
    }
    this.#heardAtMs = options.clock.nowMs();
    this.#child.once("error", (error) => this.#gone(`it could not be started: ${error.message}`));
    this.#child.once("exit", (code, signal) => this.#exited(code, signal));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => options.onPrinted(text));
    }
    this.#control = this.#connect(3, (frame) => this.#controlMessage(ControlMessageSchema.parse(frame.value)));
    for (let slot = 0; slot < options.slots; slot += 1) {
      this.#slotStreams.push(
        this.#connect(4 + slot, (frame) => this.#slotMessage(slot, SlotMessageSchema.parse(frame.value), frame)),
      );
    }
    this.#watch();
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** Whose the files must be that it is given; null: the pool's own user. */
  get fileOwner(): FileOwner {
    return this.#options.jail?.owner ?? null;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get slots(): number {
    return this.#usableSlots;
  }

  /** How many batches it takes now: none while it starts, is about to leave, is being killed, or is gone. */
  get freeSlots(): number {
    return this.#takesWork ? this.#usableSlots - this.#busySlots.taken : 0;
  }

  /** Whether a slot that runs something takes a batch behind it. */
  get takesAhead(): boolean {
    return this.#takesWork && this.#busySlots.hasUpTo(this.#ahead);
  }

  get #takesWork(): boolean {
    return (this.#state === "ready" || this.#state === "busy") && !this.#expected && (this.#sick ?? this.#why) === null;
  }

  /** Gives a slot one batch and returns the slot's number: a free one, or the next that takes it ahead. */
  run(message: RunMessage): number {
    let slot = 0;
    const most = this.freeSlots > 0 ? 0 : this.#ahead;
    while (this.#busySlots.runsOf(slot) > most) slot += 1;
    const stream = this.#slotStreams[slot];
    if (stream === undefined || (this.freeSlots === 0 && !this.takesAhead)) throw new Error("no free slot");
    const frame = encodeFrame(JSON.stringify(message));
    this.#busySlots.given(slot, message.batch, this.#options.clock.nowMs());
    this.#state = "busy";
    this.#life?.works();
    stream.write(frame);
    return slot;
  }

  /** Asks the process to stop one prediction; its `done` still comes. */
  cancel(id: string): void {
    this.#tell({ type: "cancel", id });
  }

  /** Lets it finish what runs and exit; kills it after `graceMs`, unless that is null. */
  shutdown(graceMs: number | null): void {
    this.#expected = true;
    this.#tell({ type: "shutdown" });
    if (graceMs === null) return;
    this.#options.clock.after(graceMs, () => this.kill("it did not stop when asked to"));
  }

  /** Ends the process and all that it started, at once. */
  kill(why: string): void {
    if (this.#state === "defunct") return;
    this.#why ??= why;
    signalGroup(this.#child, "SIGKILL");
    this.#options.clock.after(UNKILLABLE_MS, () => this.#gone(`${this.#why ?? why} (no signal ends it)`));
  }

  /** It takes no more work, finishes what runs, and leaves. */
  sicken(why: string): void {
    this.#sick ??= why;
    this.#leaveIfSick();
  }

  /** Its device is lost to it: ends it at once, and what it still says is not heard. */
  condemn(why: string): void {
    this.#isCondemned = true;
    this.kill(why);
  }

  /** Says that the next death is the pool's own doing. */
  expectDeath(): void {
    this.#expected = true;
  }

  #connect(fd: number, onFrame: (frame: Frame) => void): Duplex {
    // A host without file handles left gives the process none of its pipes; its "error" follows.
    const stdio: ChildProcess["stdio"] | undefined = this.#child.stdio;
    const stream = stdio?.[fd];
    if (!(stream instanceof Duplex)) return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const decoder = new FrameDecoder();
    stream.on("data", (chunk: Buffer) => {
      if (this.#state === "defunct") return;
      try {
        for (const frame of decoder.push(chunk)) onFrame(frame);
      } catch (error) {
        this.kill(`it spoke out of turn on fd ${fd}: ${error instanceof Error ? error.message : String(error)}`);
      }
    });
    stream.on("error", () => {});
    stream.on("close", () => {
      if (this.#state !== "defunct" && !this.#expected)
        this.#options.clock.after(1000, () => this.kill(`it closed fd ${fd}`));
    });
    return stream;
  }

  #controlMessage(message: ControlMessage): void {
    this.#heardAtMs = this.#options.clock.nowMs();
    if (message.type === "loaded") {
      this.#options.onLoaded(message);
      if (!message.async) this.#usableSlots = 1;
      this.#ahead = message.ahead;
      this.#hasHealthcheck = message.healthcheck;
    } else if (message.type === "alive") this.#grew(message.deviceBytes ?? 0);
    else if (message.type === "health") this.#health.answered(message.healthy, message.message ?? "");
    else if (message.type === "setup_failed") {
      this.#setupFailure = { message: message.message, traceback: message.traceback };
      this.#options.clock.after(2000, () => this.kill("setup failed"));
    } else if (message.type === "ready" && this.#state === "starting") {
      this.#state = "ready";
      this.#readyBytes = this.#grownBytes = message.deviceBytes ?? 0;
      this.#life?.rests();
      this.#wasReady = true;
      // Not earlier: what setup() is still loading can't be well.
      if (this.#hasHealthcheck) this.#health.start();
      this.#options.onReady(message.setupSeconds, this.#readyBytes);
    }
  }

  #grew(bytes: number): void {
    if (!this.#wasReady || bytes <= this.#grownBytes) return;
    this.#grownBytes = bytes;
    this.#options.onGrew?.(bytes - this.#readyBytes);
  }

  #slotMessage(slot: number, message: SlotMessage, frame: Frame): void {
    if (this.#isCondemned) return;
    this.#heardAtMs = this.#options.clock.nowMs();
    this.#busySlots.heard(slot, message, this.#heardAtMs);
    if (message.type === "idle" && this.#busySlots.size === 0) {
      this.#life?.rests();
      if (this.#state === "busy") this.#state = "ready";
    }
    this.#options.onSlotMessage(slot, message, frame);
    this.#leaveIfSick();
  }

  /**
   * A sick process finishes what runs; its death is its own, so that the restart policy slows down one that always is.
   */
  #leaveIfSick(): void {
    const why = this.#sick;
    if (why === null || this.#busySlots.size > 0) return;
    this.#why ??= why;
    this.#tell({ type: "shutdown" });
    this.#options.clock.after(LEAVE_MS, () => this.kill(why));
  }

  #failSetup(message: string): void {
    this.#setupFailure = { message, traceback: "" };
    this.kill(message);
  }

  /**
   * One look a second: has it been silent too long, is setup over its limit? What the pool itself slept (a suspended
   * machine) doesn't count.
   */
  #watch(): void {
    let startedAtMs = this.#options.clock.nowMs();
    let lookedAtMs = startedAtMs;
    const watch = new UseWatch(this.#options.use, this.#options.scratchDir);
    const look = (): void => {
      const nowMs = this.#options.clock.nowMs();
      const sleptMs = nowMs - lookedAtMs - LOOK_MS;
      lookedAtMs = nowMs;
      if (sleptMs > LOOK_MS) {
        startedAtMs += sleptMs;
        this.#heardAtMs += sleptMs;
        this.#busySlots.slept(sleptMs);
      }
      const { progressMs } = this.#options;
      if (this.#state === "starting" && nowMs - startedAtMs > this.#options.setupTimeoutMs) {
        this.#failSetup(`setup took longer than ${this.#options.setupTimeoutMs / 1000} s`);
      } else if (this.#wasReady && nowMs - this.#heardAtMs > this.#options.silenceMs) {
        this.#hung = true;
        this.kill(`it gave no sign of life for ${this.#options.silenceMs / 1000} s`);
      } else if (progressMs !== null && this.#busySlots.quietSinceMs < nowMs - progressMs) {
        this.#hung = true;
        this.kill(`a prediction gave no sign of progress for ${progressMs / 1000} s`);
      }
      const greed = watch.problem(this.pid);
      if (greed !== null && this.#wasReady) this.kill(greed);
      else if (greed !== null) this.#failSetup(greed);
      if (this.#state !== "defunct") this.#stopWatching = this.#options.clock.after(LOOK_MS, look);
    };
    this.#stopWatching = this.#options.clock.after(LOOK_MS, look);
  }

  #tell(message: { type: "cancel"; id: string } | { type: "shutdown" } | { type: "healthcheck" }): void {
    if (this.#state !== "defunct") this.#control.write(encodeFrame(JSON.stringify(message)));
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    const how = howItEnded(code, signal, this.#options);
    const gone = (): void => this.#gone(this.#why === null ? how : `${this.#why} (${how})`);
    // What it wrote before it died is still in the pipes; a forked grandchild may hold them open for ever.
    signalGroup(this.#child, "SIGKILL");
    this.#child.once("close", gone);
    this.#options.clock.after(DRAIN_MS, gone);
  }

  #gone(why: string): void {
    if (this.#state === "defunct") return;
    this.#state = "defunct";
    this.#stopWatching();
    this.#health.stop();
    signalGroup(this.#child, "SIGKILL");
    this.#life?.ended();
    for (const stream of [this.#control, ...this.#slotStreams]) stream.destroy();
    for (const stream of [this.#child.stdout, this.#child.stderr]) if (stream instanceof Readable) stream.destroy();
    // Results that it left as files may still be on their way to the edge.
    const { clock, scratchDir, jail, group } = this.#options;
    if (jail !== null) removeStrangers(jail.tempDir);
    removeFolder(stagingOf(scratchDir));
    clock.after(KEEP_SCRATCH_MS, () => removeStrangers(scratchDir));
    const ranOut = group?.ranOut() ?? null;
    group?.remove();
    this.#options.onGone({
      why,
      wasReady: this.#wasReady,
      expected: this.#expected,
      hung: this.#hung,
      deviceError: this.#isCondemned,
      outOfMemory: ranOut,
      setupFailure: this.#setupFailure ?? (ranOut === true && !this.#wasReady ? { message: why, traceback: "" } : null),
    });
  }
}
