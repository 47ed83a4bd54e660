/**
 * Claims that ended lately. A grant that was on its way meanwhile (the log repeats a record, the shard repeats its
 * grant) must not run a second time, uncounted.
 */
const MAX_REFUSED = 100_000;

export class EndedClaims {
  #lately = new Set<string>();
  #before = new Set<string>();
  readonly #refused = new Set<string>();

  add(token: string): void {
    this.#lately.add(token);
  }

  /** The edge was told that this one never came: it may never run, however late its grant arrives. */
  refuse(token: string): void {
    this.#refused.add(token);
    const [oldest] = this.#refused;
    if (oldest !== undefined && this.#refused.size > MAX_REFUSED) this.#refused.delete(oldest);
  }

  has(token: string): boolean {
    return this.#lately.has(token) || this.#before.has(token) || this.#refused.has(token);
  }

  /** Forgets what ended before the last call; called at intervals longer than an answer of the edge may take. */
  forgetOld(): void {
    this.#before = this.#lately;
    this.#lately = new Set();
  }
}
