/**
 * The end of a pool: it takes nothing more, hands back at once what has not begun, finishes what runs for as long as
 * there is time, hands back the rest, delivers, and ends its processes. A later call can only leave it less time.
 *
 *   serving ── begin() ──▶ handing back ──▶ finishing ── nothing runs, or time is up ──▶ delivering ──▶ over
 */
import type { Logger } from "pino";
import type { Delivery } from "./delivery/delivery.ts";
import type { EventReporter } from "./delivery/reporter.ts";
import type { Intakes } from "./intakes.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { Suspects } from "./suspects.ts";

/** What is under way when intake ends is waited for so long: what waits here goes back within a second. */
const INTAKE_STOP_MS = 500;
const FLUSH_MS = 5000;
/** How long processes that run nothing may take to leave; those that still run something end at once. */
const LEAVE_MS = 2000;
const LOOK_MS = 20;

export type DrainOptions = {
  clock: Clock;
  log: Logger;
  runners(): readonly ModelRunner[];
  intakes(): Pick<Intakes, "stop">;
  suspects(): Pick<Suspects, "release">;
  delivery: Pick<Delivery, "flush" | "pending">;
  reporter: Pick<EventReporter, "uploading" | "giveUpUploads">;
  /** All that the pool holds. */
  held(): number;
  /** It began: lanes must not count on this pool any more. */
  onBegin(): void;
  /** Tells the edge what was measured up to now. */
  tellUsage(): Promise<void>;
  /** Nothing is left to do. */
  onOver(): void;
};

export class Drain {
  readonly #options: DrainOptions;
  #endsAtMs = Infinity;
  #over: Promise<void> | null = null;

  constructor(options: DrainOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#over !== null;
  }

  /** Resolves when it is over; what runs has `withinMs` to finish. */
  async begin(withinMs: number, why: string): Promise<void> {
    const { clock, log, held } = this.#options;
    this.#endsAtMs = Math.min(this.#endsAtMs, clock.nowMs() + withinMs);
    log.info({ running: held(), withinMs, why }, "draining");
    this.#over ??= this.#run();
    return this.#over;
  }

  async #run(): Promise<void> {
    const { log, intakes, suspects, delivery, reporter, held, onBegin, tellUsage, onOver } = this.#options;
    const runners = this.#options.runners();
    onBegin();
    for (const runner of runners) runner.onHold = true;
    // First intake: what is handed back must not come in again.
    await intakes().stop(INTAKE_STOP_MS);
    suspects().release();
    for (const runner of runners) {
      runner.releaseWaiting("drain");
      runner.onHold = false;
    }
    await this.#until(() => held() === 0);
    const unfinished = new Set(runners.filter((runner) => runner.held > 0));
    for (const runner of unfinished) runner.releaseRunning("drain");
    await this.#until(() => reporter.uploading === 0);
    reporter.giveUpUploads();
    for (const runner of runners) runner.shutdown(unfinished.has(runner) ? 0 : LEAVE_MS);
    await delivery.flush(FLUSH_MS);
    this.#endsAtMs = this.#options.clock.nowMs() + LEAVE_MS + 500;
    await this.#until(() => !runners.some(isAlive));
    for (const runner of runners) runner.instances.kill();
    await tellUsage();
    onOver();
    log.info({ undelivered: delivery.pending }, "drained");
  }

  /** Resolves when it is so, or time is up. */
  async #until(isSo: () => boolean): Promise<void> {
    const { clock } = this.#options;
    while (!isSo() && clock.nowMs() < this.#endsAtMs)
      await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
}

function isAlive({ instances }: ModelRunner): boolean {
  return instances.all.some(({ process }) => process !== null);
}
