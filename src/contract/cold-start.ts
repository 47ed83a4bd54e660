/**
 * What stands between a prediction that waits and an instance that is ready, where none is. All of it is estimated: by
 * what earlier cold starts took, and before the first by what the provider expects.
 */

/** In milliseconds from now. */
export type ColdStart = {
  /** Until a machine is rented and has booted. 0: one is there. */
  machineMs: number;
  /**
   * From then on, until environment, weights and set-up of the model are done; null: none was seen, so it isn't known.
   */
  setupMs: number | null;
  /** When it is ready at the earliest, and at the latest, as far as is likely; null: nobody knows. */
  leastMs: number;
  mostMs: number | null;
};

/** A cold start takes half of what it took before to twice that, and this much more where it took next to nothing. */
const SLOWER = 2;
const SLACK_MS = 5000;

/** One whose parts took so long before, and that began `passedMs` ago. */
export function coldStartOf(machineMs: number, setupMs: number | null, passedMs: number): ColdStart {
  const totalMs = machineMs + (setupMs ?? 0);
  const whole = { machineMs, setupMs, leastMs: totalMs / SLOWER, mostMs: SLOWER * totalMs + SLACK_MS };
  return later(setupMs === null ? { ...whole, mostMs: null } : whole, passedMs);
}

/** The same, so much later. What takes longer than is likely may take any time. */
export function later({ machineMs, setupMs, leastMs, mostMs }: ColdStart, passedMs: number): ColdStart {
  const left = (ms: number): number => Math.max(0, Math.round(ms - passedMs));
  return {
    machineMs: left(machineMs),
    setupMs: setupMs === null ? null : left(machineMs + setupMs) - left(machineMs),
    leastMs: left(leastMs),
    mostMs: mostMs === null || mostMs <= passedMs ? null : left(mostMs),
  };
}

/** As far as it is known. */
export function totalMs({ machineMs, setupMs }: ColdStart): number {
  return machineMs + (setupMs ?? 0);
}
