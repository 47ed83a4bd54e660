/**
 * Asks a model with a `healthcheck` how it is. One bad answer may be a coincidence (a check that waits for a busy GPU
 * is given up after 5 s); several in a row say that the process is sick, once.
 *
 *   well ── bad answer ──▶ doubtful ── good answer ──▶ well
 *                          doubtful ── bad answers ──▶ sick
 */
import type { Clock } from "../scheduling/clock.ts";

export type HealthWatchOptions = {
  clock: Clock;
  everyMs: number;
  ask(): void;
  onSick(why: string): void;
};

const BAD_ANSWERS = 3;

export class HealthWatch {
  readonly #options: HealthWatchOptions;
  #bad = 0;
  #cancelTimer: () => void = () => {};

  constructor(options: HealthWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, everyMs, ask } = this.#options;
    this.#cancelTimer = clock.after(everyMs, () => {
      ask();
      this.start();
    });
  }

  stop(): void {
    this.#cancelTimer();
  }

  answered(healthy: boolean, message: string): void {
    this.#bad = healthy ? 0 : this.#bad + 1;
    if (this.#bad !== BAD_ANSWERS) return;
    this.stop();
    this.#options.onSick(`it is unhealthy: ${message}`);
  }
}
