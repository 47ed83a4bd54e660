/** What keeps one model from taking more for a while, though it could run: this host runs short of something. */
import type { Clock } from "../../scheduling/clock.ts";
import { Pause } from "../../scheduling/pause.ts";
import type { Held } from "../held.ts";
import type { Prediction, Reporter } from "../prediction.ts";
import { DiskFaults } from "./disk-faults.ts";

/** A model that met a full disk takes no prediction for so long. */
const PAUSE_MS = 5000;

export type ModelPressureOptions = {
  clock: Clock;
  /** Why the host takes nothing of it now (pressure.ts); null when it does. */
  shortage(): string | null;
  onDiskFull(): void;
  onRoom(): void;
  report: Reporter;
  held: Held;
};

export class ModelPressure {
  readonly #options: ModelPressureOptions;
  readonly #pause: Pause;
  readonly #faults = new DiskFaults();

  constructor(options: ModelPressureOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock, PAUSE_MS, options.onRoom);
  }

  /** Why the host takes nothing of it now; null when it does. */
  get shortage(): string | null {
    return this.#options.shortage();
  }

  /** Why it takes nothing now; null when it does. */
  get pausedBy(): string | null {
    return this.shortage ?? (this.#pause.isOn ? "this host's disk was full a moment ago" : null);
  }

  /** The disk took no more. */
  diskRefused(): void {
    this.#pause.begin();
    this.#options.onDiskFull();
    this.#options.onRoom();
  }

  /**
   * The disk was full while it ran: another host may run it, at no cost. One that meets it here again counts as lost
   * instead: it may be what fills the disk.
   */
  metFullDisk(prediction: Prediction, error: string): void {
    const { held, report } = this.#options;
    const message = `A disk of the host was full: ${error}`;
    this.diskRefused();
    if (!this.#faults.isAgain(prediction.ref.id)) return held.release(prediction, "setup", message);
    report.failed(prediction.ref, "crash", "disk_full", message);
    held.ended(prediction, "disk_full");
  }
}
