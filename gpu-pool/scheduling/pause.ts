/**
 * A pause that ends by a timer, and only by it: a timer may fire a moment before its time, and whoever compares times
 * then misses the end.
 *
 *   off ── begin() ──▶ on ── after `ms`, or end() ──▶ off (onEnd);  begin() while on: begins anew
 */
import type { Clock } from "./clock.ts";

export class Pause {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onEnd: () => void;
  #takeBack: (() => void) | null = null;

  constructor(clock: Clock, ms: number, onEnd: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onEnd = onEnd;
  }

  get isOn(): boolean {
    return this.#takeBack !== null;
  }

  begin(): void {
    this.#takeBack?.();
    this.#takeBack = this.#clock.after(this.#ms, () => {
      this.#takeBack = null;
      this.#onEnd();
    });
  }

  /** It is over before its time, if it is on. */
  end(): void {
    if (this.#takeBack === null) return;
    this.#takeBack();
    this.#takeBack = null;
    this.#onEnd();
  }
}
