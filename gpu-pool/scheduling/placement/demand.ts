/** How often something is asked for, lately: a rate in which an event counts half after some minutes. Pure. */
const HALF_LIFE_MS = 300_000;
const DECAY = Math.LN2 / HALF_LIFE_MS;

export class Demand {
  #weight = 0;
  #atMs = 0;

  add(nowMs: number): void {
    this.#weight = this.#weightAt(nowMs) + 1;
    this.#atMs = nowMs;
  }

  /** Events a second. */
  rate(nowMs: number): number {
    return this.#weightAt(nowMs) * DECAY * 1000;
  }

  #weightAt(nowMs: number): number {
    return this.#weight * Math.exp(-DECAY * (nowMs - this.#atMs));
  }
}
