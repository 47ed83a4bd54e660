/**
 * What moves between the versions of a model, as by a promotion or a canary. A forecast over an hour needs that hour to
 * notice it: meanwhile the old version keeps its machines beside the new one's, and the new one has too few. The
 * model's rate over the window changes little then; a version's share of the last minute's arrivals divides it.
 */
import { RecentArrivals } from "./recent-arrivals.ts";

/** Shares are those of so long. */
const LATELY_S = 60;
const DEVIATIONS = 2;

export class MovedArrivals {
  readonly #ofModel: RecentArrivals;
  readonly #own = new RecentArrivals(LATELY_S);
  readonly #elsewhere = new RecentArrivals(LATELY_S);

  /** `windowS`: what the rate is measured over. `own`, `elsewhere`: the latest arrivals, in seconds, sorted. */
  constructor(windowS: number, own: Float64Array, elsewhere: Float64Array) {
    this.#ofModel = new RecentArrivals(windowS);
    const all = new Float64Array(own.length + elsewhere.length);
    all.set(own);
    all.set(elsewhere, own.length);
    for (const atS of all.sort()) this.#ofModel.arrived(atS);
    for (const atS of own) this.#own.arrived(atS);
    for (const atS of elsewhere) this.#elsewhere.arrived(atS);
  }

  arrived(atS: number): void {
    this.#ofModel.arrived(atS);
    this.#own.arrived(atS);
  }

  arrivedElsewhere(atS: number): void {
    this.#ofModel.arrived(atS);
    this.#elsewhere.arrived(atS);
  }

  /**
   * This version's `rate`, unless its share of the latest arrivals makes that unlikely: then the nearest that is
   * likely. `atLeastS`: as of `RecentArrivals`.
   */
  likely(rate: number, nowS: number, atLeastS: number): number {
    const own = this.#own.count(nowS);
    const all = own + this.#elsewhere.count(nowS);
    if (all === 0) return rate;
    const perArrival = this.#ofModel.rate(nowS, atLeastS) / all;
    const doubt = DEVIATIONS * Math.sqrt(own) + 1;
    return Math.max((own - doubt) * perArrival, Math.min((own + doubt) * perArrival, rate));
  }
}
