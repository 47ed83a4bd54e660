/**
 * Claims that ended lately. A grant that was on its way meanwhile (the log repeats a record, the shard repeats its grant) must not
 * run a second time, uncounted.
 */
export class EndedClaims {
  #lately = new Set<string>();
  #before = new Set<string>();

  add(token: string): void {
    this.#lately.add(token);
  }

  has(token: string): boolean {
    return this.#lately.has(token) || this.#before.has(token);
  }

  /** Forgets what ended before the last call; called at intervals longer than an answer of the edge may take. */
  forgetOld(): void {
    this.#before = this.#lately;
    this.#lately = new Set();
  }
}
