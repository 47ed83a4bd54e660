/**
 * Lets calls to at most so many different keys be in flight; the others wait in the order in which they came. The
 * platform lets a request have 4 distinct loaded Workers in flight, and calls to one of them count once.
 */
export class DistinctLimit {
  readonly #limit: number;
  readonly #inFlight = new Map<string, number>();
  readonly #waiting: { key: string; go: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(key: string, call: () => Promise<T>): Promise<T> {
    // Who comes while others wait goes behind them: a key that is always in flight must not keep the rest out.
    if (this.#waiting.length > 0 || !this.#fits(key)) {
      const turn = Promise.withResolvers<void>();
      this.#waiting.push({ key, go: turn.resolve });
      await turn.promise;
    } else {
      this.#enter(key);
    }
    try {
      return await call();
    } finally {
      this.#leave(key);
    }
  }

  #fits(key: string): boolean {
    return this.#inFlight.has(key) || this.#inFlight.size < this.#limit;
  }

  #enter(key: string): void {
    this.#inFlight.set(key, (this.#inFlight.get(key) ?? 0) + 1);
  }

  #leave(key: string): void {
    const left = (this.#inFlight.get(key) ?? 1) - 1;
    if (left > 0) this.#inFlight.set(key, left);
    else this.#inFlight.delete(key);
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.key); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#enter(next.key);
      next.go();
    }
  }
}
