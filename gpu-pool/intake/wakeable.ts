/** A pause that can be ended early. */
import type { Clock } from "../scheduling/clock.ts";

export class Wakeable {
  readonly #clock: Clock;
  #wake: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves after `limitMs`, or when woken. */
  async pause(limitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = limitMs === Infinity ? () => {} : this.#clock.after(limitMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = null;
  }

  wake(): void {
    this.#wake?.();
  }
}
