/**
 * How long reads of unfinished predictions are held. A hold that ends without a change costs its client another
 * request: where many end so, the next ones are longer. Changes answer at once either way. Each isolate judges by its
 * own reads.
 */
import { isTerminal } from "../contract/prediction.ts";
import type { PredictionSnapshot } from "../contract/prediction.ts";

export type Hold = {
  holdMs: number;
  /** How old the lane's state may be by which the place is told. */
  placeMaxAgeMs: number;
};

const PLACE_MAX_AGE_MS = 1000;
/**
 * Load is so many holds that ended unchanged within a period. The hold is then twice as long, and its place as old as
 * three such holds.
 */
const LOAD = { fruitlessHolds: 50, periodMs: 2000 } as const;
const LOADED = { times: 2, placeAgeHolds: 3 } as const;

/**
 * Makes reads that are held, for one isolate. Holds are counted when they have ended: one whose client left may never
 * come back here, and would count for ever if it were counted while it lasts.
 */
export function createHolds(now: () => number) {
  let period = { index: 0, fruitless: 0 };
  let before = 0;

  /** Fruitless holds of this period so far; those of the one before are in `before`. */
  function current(): { index: number; fruitless: number } {
    const index = Math.floor(now() / LOAD.periodMs);
    if (index === period.index) return period;
    before = index === period.index + 1 ? period.fruitless : 0;
    period = { index, fruitless: 0 };
    return period;
  }

  function holdFor(usualMs: number): Hold {
    const isLoaded = Math.max(current().fruitless, before) >= LOAD.fruitlessHolds;
    if (usualMs === 0 || !isLoaded) return { holdMs: usualMs, placeMaxAgeMs: PLACE_MAX_AGE_MS };
    const holdMs = usualMs * LOADED.times;
    return { holdMs, placeMaxAgeMs: Math.max(PLACE_MAX_AGE_MS, holdMs * LOADED.placeAgeHolds) };
  }

  /** Reads with a hold of `usualMs`, or twice that under load. */
  return async (
    usualMs: number,
    read: (hold: Hold) => Promise<PredictionSnapshot | null>,
  ): Promise<PredictionSnapshot | null> => {
    const startedAt = now();
    const prediction = await read(holdFor(usualMs));
    const waits = prediction !== null && !isTerminal(prediction.status);
    if (waits && usualMs > 0 && now() - startedAt >= usualMs) current().fruitless += 1;
    return prediction;
  };
}
