/** Arrivals before the first one of a replay: the same predictions, which come once more after themselves. */
import { RecentArrivals } from "./recent-arrivals.ts";

export class ArrivalsBefore {
  readonly #atS: Float64Array;
  readonly #byWindow = new Map<number, RecentArrivals>();

  /** `atS`: those that are replayed, in seconds, sorted. */
  constructor(atS: Float64Array) {
    this.#atS = atS;
  }

  /** As counted when the first one is about to arrive again. The caller may go on counting in it. */
  over(windowS: number): RecentArrivals {
    const known = this.#byWindow.get(windowS) ?? this.#count(windowS);
    this.#byWindow.set(windowS, known);
    return known.copy();
  }

  #count(windowS: number): RecentArrivals {
    const recent = new RecentArrivals(windowS);
    const [firstS = 0, lastS = 0] = [this.#atS[0], this.#atS.at(-1)];
    const meanGapS = (lastS - firstS) / Math.max(1, this.#atS.length - 1);
    const earlierS = lastS - firstS + meanGapS;
    for (const atS of this.#atS) if (atS > lastS - windowS) recent.arrived(atS - earlierS);
    return recent;
  }
}
