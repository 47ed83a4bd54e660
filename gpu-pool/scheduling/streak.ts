/**
 * Counts the different ones that something happened to in a row: one that it happens to again and again is one. Pure.
 */
export class Streak {
  readonly #limit: number;
  readonly #hit = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** It happened to this one. Whether it has happened to `limit` of them by now. */
  hit(id: string): boolean {
    this.#hit.add(id);
    return this.#hit.size >= this.#limit;
  }

  /** It went well: a new row begins. */
  end(): void {
    this.#hit.clear();
  }
}
