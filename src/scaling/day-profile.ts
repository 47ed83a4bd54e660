/**
 * At which times of the day a model is asked for, learned from at least a week of arrivals: for each half hour, on how
 * many of the days anything came. A model of regular hours is warm before they begin.
 */
const DAY_S = 86_400;
export const BIN_S = 1800;
export const BINS = DAY_S / BIN_S;
const MIN_DAYS = 7;

export class DayProfile {
  /** By half hour: the share of days on which something came. */
  readonly #shares: Float64Array;

  private constructor(shares: Float64Array) {
    this.#shares = shares;
  }

  /** Null while there are less than seven days of arrivals. `atS`: sorted. */
  static of(atS: Float64Array): DayProfile | null {
    const [firstS = 0, lastS = 0] = [atS[0], atS.at(-1)];
    const days = (lastS - firstS) / DAY_S;
    if (days < MIN_DAYS) return null;
    const daysWith = new Float64Array(BINS);
    let before = -1;
    for (const at of atS) {
      const bin = Math.floor(at / BIN_S);
      if (bin !== before) daysWith[bin % BINS] = (daysWith[bin % BINS] ?? 0) + 1;
      before = bin;
    }
    return new DayProfile(daysWith.map((count) => count / days));
  }

  /** Whether something came at this time of the day on at least such a share of the days. */
  isBusy(atS: number, share: number): boolean {
    return (this.#shares[Math.floor(atS / BIN_S) % BINS] ?? 0) >= share;
  }

  /** The next time that is busy; Infinity without one. */
  nextBusyS(atS: number, share: number): number {
    if (this.isBusy(atS, share)) return atS;
    const first = Math.floor(atS / BIN_S) + 1;
    for (let bin = first; bin < first + BINS; bin += 1) if (this.isBusy(bin * BIN_S, share)) return bin * BIN_S;
    return Infinity;
  }

  /** When the next half hour begins. */
  nextBinS(atS: number): number {
    return (Math.floor(atS / BIN_S) + 1) * BIN_S;
  }
}
