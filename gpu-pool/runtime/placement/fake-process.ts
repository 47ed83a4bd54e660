/**
 * For tests, in the place of `ModelProcess`: a process that takes a given time to load and to run, by its clock alone.
 * `env` says both, in milliseconds, and the card on which its set-up fails.
 */
import type { RunMessage, SlotMessage } from "../child-messages.ts";
import type { Frame } from "../frames.ts";
import type { ProcessOptions } from "../model-process.ts";
import type { Origin } from "../prediction.ts";

const FRAME: Frame = { value: {}, sizeBytes: 2, mentionsFile: false };
const EXIT_MS = 20;

export class FakeProcess {
  state: "starting" | "ready" | "busy" | "defunct" = "starting";
  readonly slots = 1;
  readonly takesAhead = false;
  readonly fileOwner = null;
  readonly origin: Origin;
  readonly #options: ProcessOptions;
  #isLeaving = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.origin = { scratchDir: options.scratchDir, fileMark: "", isConfined: false };
    options.clock.after(Number(options.env["LOAD_MS"]), () => {
      if (this.state !== "starting") return;
      if (options.env["FAILS_ON"] === options.cudaVisibleDevices) return this.#failSetup();
      this.state = "ready";
      options.onReady(0, 0);
      this.#leaveIfDone();
    });
  }

  get freeSlots(): number {
    return this.state === "ready" && !this.#isLeaving ? 1 : 0;
  }

  run({ batch, items }: RunMessage): number {
    const { clock, env } = this.#options;
    this.state = "busy";
    clock.after(Number(env["RUN_MS"]), () => {
      if (this.state !== "busy") return;
      for (const { id } of items) this.#say({ type: "done", id, status: "succeeded" });
      this.state = "ready";
      this.#say({ type: "idle", batch });
      this.#leaveIfDone();
    });
    return 0;
  }

  /** Waits for what runs, however long. */
  shutdown(): void {
    this.#isLeaving = true;
    this.#leaveIfDone();
  }

  kill(why: string): void {
    if (this.state === "defunct") return;
    this.state = "defunct";
    const death = { why, wasReady: true, expected: this.#isLeaving, hung: false, deviceError: false };
    this.#options.onGone({ ...death, outOfMemory: null, setupFailure: null });
  }

  #failSetup(): void {
    this.state = "defunct";
    const setupFailure = { message: "RuntimeError: CUDA error: unknown error", traceback: "Traceback" };
    const death = { why: "it exited with code 1", wasReady: false, expected: false, hung: false, deviceError: false };
    this.#options.onGone({ ...death, outOfMemory: null, setupFailure });
  }

  #leaveIfDone(): void {
    if (this.#isLeaving && this.state === "ready")
      this.#options.clock.after(EXIT_MS, () => this.kill("it was told to"));
  }

  #say(message: SlotMessage): void {
    this.#options.onSlotMessage(0, message, FRAME);
  }
}
