/** At which half hours of the latest days a model was asked for: what outlives the arrivals themselves, by UTC days. */
import { BIN_S, BINS, DayProfile } from "./day-profile.ts";

export const MAX_DAYS = 14;

/** By day since 1970, rising: the half hours at which something came, by their number within the day. */
export type Days = [day: number, bins: number[]][];

export class DayHistory {
  readonly #days: Map<number, Set<number>>;
  #latest = -Infinity;

  constructor(days: Days = []) {
    this.#days = new Map(days.map(([day, bins]) => [day, new Set(bins)]));
  }

  arrived(atS: number): void {
    const bin = Math.floor(atS / BIN_S);
    if (bin === this.#latest) return;
    this.#latest = bin;
    const day = Math.floor(bin / BINS);
    const bins = this.#days.get(day) ?? new Set();
    this.#days.set(day, bins.add(bin % BINS));
    for (const [old] of this.#days) if (old <= day - MAX_DAYS) this.#days.delete(old);
  }

  days(): Days {
    return [...this.#days].map(([day, bins]): Days[number] => [day, [...bins]]).slice(-MAX_DAYS);
  }

  /** Null while there are less than seven days of it. */
  profile(): DayProfile | null {
    const binsS = [...this.#days].flatMap(([day, bins]) => [...bins].map((bin) => (day * BINS + bin) * BIN_S));
    return DayProfile.of(Float64Array.from(binsS).toSorted());
  }
}
