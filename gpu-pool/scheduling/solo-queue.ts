/**
 * Suspects take turns. What was granted `alone` may end the whole pool when it runs: it was lost twice, or it crashed
 * by itself. One of them at a time is handed to its model; the others wait here, their starts uncounted, so that a
 * culprit costs nobody but itself another attempt. Pure.
 *
 *   add ──▶ waiting ── the one before has ended ──▶ current ── ended ──▶ (gone)
 *   waiting ── removed ──▶ (gone)
 */
export class SoloQueue<T> {
  readonly #waiting = new Map<string, T>();
  #current: string | null = null;

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether it is this one's turn, and others wait for theirs. */
  keepsWaiting(token: string): boolean {
    return this.#current === token && this.#waiting.size > 0;
  }

  /** Adds a suspect; answers it if its turn is at once. */
  add(token: string, suspect: T): T | null {
    if (this.#current === null) {
      this.#current = token;
      return suspect;
    }
    this.#waiting.set(token, suspect);
    return null;
  }

  /** Takes out one that waits; null when none of that token does. */
  remove(token: string): T | null {
    const suspect = this.#waiting.get(token) ?? null;
    this.#waiting.delete(token);
    return suspect;
  }

  /** One has ended; answers the next whose turn it is, if that changed. */
  ended(token: string): T | null {
    this.#waiting.delete(token);
    if (this.#current !== token) return null;
    this.#current = null;
    for (const [next, suspect] of this.#waiting) {
      this.#waiting.delete(next);
      this.#current = next;
      return suspect;
    }
    return null;
  }

  /** Those that wait. */
  all(): T[] {
    return [...this.#waiting.values()];
  }

  /** Takes out all that wait. */
  clear(): T[] {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    return all;
  }
}
