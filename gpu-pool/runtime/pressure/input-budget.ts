/**
 * What the input files of all predictions may take of the disk together. Nobody waits for a share while holding one: a
 * prediction that would go beyond the limit gives way and goes to another host. So no two wait for each other for ever,
 * and one that is alone always gets what one prediction may have.
 */
import { HostShortage } from "./host-shortage.ts";

export type InputBudgetOptions = {
  /** The most that all predictions hold together, in bytes; at least what one of them may. */
  limitBytes: number;
  /** The problem came or went. */
  onChange(): void;
};

/** After somebody gave way there is room again below this share of the limit. */
const AGAIN_BELOW = 0.5;

export class InputBudget {
  readonly #options: InputBudgetOptions;
  readonly #held = new Map<string, number>();
  #bytes = 0;
  #isFull = false;

  constructor(options: InputBudgetOptions) {
    this.#options = options;
  }

  /** What all predictions hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Why no prediction with input files may come now; null when one may. */
  get problem(): string | null {
    if (!this.#isFull) return null;
    return `the input files of this host's predictions take ${this.#bytes} of ${this.#options.limitBytes} bytes`;
  }

  /** So many bytes more came for the claim of this token; null when they may stay. */
  take(token: string, bytes: number): HostShortage | null {
    const own = this.#held.get(token) ?? 0;
    if (own < this.#bytes && this.#bytes + bytes > this.#options.limitBytes) {
      this.#set(true);
      return new HostShortage(this.problem ?? "");
    }
    this.#held.set(token, own + bytes);
    this.#bytes += bytes;
    return null;
  }

  /** Its files are deleted. */
  release(token: string): void {
    this.#bytes -= this.#held.get(token) ?? 0;
    this.#held.delete(token);
    if (this.#isFull && this.#bytes <= this.#options.limitBytes * AGAIN_BELOW) this.#set(false);
  }

  #set(isFull: boolean): void {
    if (this.#isFull === isFull) return;
    this.#isFull = isFull;
    this.#options.onChange();
  }
}
