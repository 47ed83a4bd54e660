/**
 * What a pool does by the clock: deadlines while anything is held, the lease while the channel is down, idle model
 * processes.
 */
import type { ModelRunner } from "./runtime/model-runner.ts";
import type { Clock } from "./scheduling/clock.ts";

const SWEEP_MS = 200;
const HOUSEKEEPING_MS = 15_000;

export type UpkeepOptions = {
  clock: Clock;
  runners(): readonly ModelRunner[];
  /** Model processes without work for so long are stopped; 0: never. */
  idleStopMs: number;
  held(): number;
  leaseMs(): number;
  /** Comes three times a lease. */
  onBeat(): void;
  /** Comes every 15 s. */
  onHousekeeping(): void;
};

export class Upkeep {
  readonly #options: UpkeepOptions;
  #sweeping = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#beat();
    this.#keepHouse();
    if (this.#options.idleStopMs > 0) this.#lookForIdle();
  }

  /** Deadlines are looked at a few times a second, and only while something is held. */
  sweepSoon(): void {
    const { clock, held, runners } = this.#options;
    if (this.#sweeping || held() === 0) return;
    this.#sweeping = true;
    clock.after(SWEEP_MS, () => {
      this.#sweeping = false;
      const nowMs = clock.nowMs();
      for (const runner of runners()) runner.sweep(nowMs);
      this.sweepSoon();
    });
  }

  #beat(): void {
    this.#options.clock.after(this.#options.leaseMs() / 3, () => {
      this.#options.onBeat();
      this.#beat();
    });
  }

  #keepHouse(): void {
    this.#options.clock.after(HOUSEKEEPING_MS, () => {
      this.#options.onHousekeeping();
      this.#keepHouse();
    });
  }

  #lookForIdle(): void {
    const { clock, idleStopMs, runners } = this.#options;
    clock.after(Math.min(HOUSEKEEPING_MS, Math.max(SWEEP_MS, idleStopMs)), () => {
      const nowMs = clock.nowMs();
      for (const runner of runners()) runner.stopIfIdle(nowMs, idleStopMs);
      this.#lookForIdle();
    });
  }
}
