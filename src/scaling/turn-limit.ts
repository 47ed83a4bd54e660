/**
 * What knobs may order for a queue that is older than they are. They were chosen by a replay in which they had held
 * from the beginning, with the queue that they would have had: what they order for another one was charged to nobody.
 */
import type { Machines } from "./policy.ts";
import { RecentArrivals } from "./recent-arrivals.ts";

/** The load of less time than this is chance. */
const MIN_WINDOW_S = 60;

export class TurnLimit {
  readonly #bootS: number;
  readonly #arrivals: RecentArrivals;

  /** `arrivals`: the latest, in seconds, sorted. */
  constructor({ bootS }: Pick<Machines, "bootS">, arrivals: Iterable<number>) {
    this.#bootS = bootS;
    this.#arrivals = new RecentArrivals(Math.max(MIN_WINDOW_S, bootS));
    for (const atS of arrivals) this.#arrivals.arrived(atS);
  }

  arrived(atS: number): void {
    this.#arrivals.arrived(atS);
  }

  /**
   * Slots for the load of the last boot, and so many more that each has a boot's time of work in what will be left when
   * a machine that is ordered now serves. `leftS`: that, in slot-seconds, if a load arrives meanwhile.
   */
  slots(nowS: number, meanWorkS: number, leftS: (load: number) => number): number {
    const load = this.#arrivals.rate(nowS, meanWorkS) * this.#arrivals.sureShare() * meanWorkS;
    return load + leftS(load) / (this.#bootS + meanWorkS);
  }
}
