/** Asks what is due again: each thing at once, and then every so often for as long as it is there. */
export class Repeats {
  readonly #everyMs: number;
  readonly #askedMono = new Map<string, number>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** Those of all that are `there` that are due, which are asked with that. `mono`: milliseconds that never go back. */
  due<T extends { id: string }>(there: readonly T[], mono: number): T[] {
    const ids = new Set(there.map(({ id }) => id));
    for (const id of this.#askedMono.keys()) if (!ids.has(id)) this.#askedMono.delete(id);
    const due = there.filter(({ id }) => mono - (this.#askedMono.get(id) ?? -Infinity) >= this.#everyMs);
    for (const { id } of due) this.#askedMono.set(id, mono);
    return due;
  }
}
