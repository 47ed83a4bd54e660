/**
 * A circuit breaker: after so many failures in a row nothing is asked for a while, and then one call tries.
 *
 *     closed → (failures) → open → (openMs) → half open → closed | open
 *
 * The call that tries may end with its request, and is never heard of again: after `openMs` another one tries.
 */
export class Breaker {
  readonly #failures: number;
  readonly #openMs: number;
  #inARow = 0;
  #openUntil = 0;

  constructor(failures: number, openMs: number) {
    this.#failures = failures;
    this.#openMs = openMs;
  }

  /** Throws at once while it is open. */
  async run<T>(call: () => Promise<T>, now: () => number = Date.now): Promise<T> {
    if (this.#inARow >= this.#failures) {
      if (now() < this.#openUntil) throw new Error("the service failed lately, and is left alone for a while");
      this.#openUntil = now() + this.#openMs;
    }
    try {
      const value = await call();
      this.#inARow = 0;
      return value;
    } catch (error) {
      this.#inARow += 1;
      this.#openUntil = now() + this.#openMs;
      throw error;
    }
  }
}
