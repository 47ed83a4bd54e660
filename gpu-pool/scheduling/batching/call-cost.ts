/**
 * What a call of a model takes besides what its cost takes, learned from runs: a line through their times by their
 * cost, of which the last runs weigh most. Pure.
 */

/** What each run leaves of the weight of those before it. */
const MEMORY = 0.98;
const MIN_RUNS = 8;

export class CallCost {
  #runs = 0;
  #weight = 0;
  #cost = 0;
  #ms = 0;
  #costCost = 0;
  #costMs = 0;

  /** A batch of this cost ran for `ms`. */
  ran(cost: number, ms: number): void {
    if (!Number.isFinite(cost)) return;
    this.#runs += 1;
    this.#weight = MEMORY * this.#weight + 1;
    this.#cost = MEMORY * this.#cost + cost;
    this.#ms = MEMORY * this.#ms + ms;
    this.#costCost = MEMORY * this.#costCost + cost * cost;
    this.#costMs = MEMORY * this.#costMs + cost * ms;
  }

  /** The cost that takes as long as a call does besides: 0 while runs don't show it, Infinity if cost takes no time. */
  get worth(): number {
    const spread = this.#weight * this.#costCost - this.#cost * this.#cost;
    if (this.#runs < MIN_RUNS || spread <= 1e-9 * this.#weight * this.#costCost) return 0;
    const msPerCost = (this.#weight * this.#costMs - this.#cost * this.#ms) / spread;
    const callMs = (this.#ms - msPerCost * this.#cost) / this.#weight;
    if (callMs <= 0) return 0;
    return msPerCost <= 0 ? Infinity : callMs / msPerCost;
  }
}
