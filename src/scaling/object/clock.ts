/**
 * The times that the scaler measures by. An object's clock may jump, and an object that was away has seen nothing. What
 * it waits for gets no older than `MAX_STEP_MS` by one look, so that nobody is judged by a jump; what it forecasts by
 * follows the clock forward, for it may have slept, and begins with its time, so that one life's forecasts can go on in
 * the next. Times that are stored, or shown, are of the wall clock.
 */
const MAX_STEP_MS = 15_000;
/** What was stored is taken to be this old at most. */
const MAX_AGE_MS = 600_000;

export type ScalerClock = {
  /** Milliseconds of patience: they never go back, and never jump. */
  mono(): number;
  /** Seconds since 1970, for forecasts: they never go back. */
  seconds(): number;
  wall(): number;
  /** When that was, of a stored time, by `mono`. */
  monoOf(wallMs: number): number;
};

export function createClock(wall: () => number): ScalerClock {
  let last = wall();
  let mono = 0;
  let forwardMs = last;

  function advance(): void {
    const now = wall();
    const stepMs = Math.max(0, now - last);
    mono += Math.min(MAX_STEP_MS, stepMs);
    forwardMs += stepMs;
    last = now;
  }

  return {
    mono() {
      advance();
      return mono;
    },
    seconds() {
      advance();
      return forwardMs / 1000;
    },
    wall,
    monoOf: (wallMs) => mono - Math.min(MAX_AGE_MS, Math.max(0, wall() - wallMs)),
  };
}
