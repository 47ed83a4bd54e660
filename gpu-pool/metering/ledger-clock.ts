/** The pool's monotonic clock, as the ledger wants it. */
import type { Clock } from "../scheduling/clock.ts";

/**
 * In steps of a tenth of a millisecond: a batch of thousands ends one member after the other, and what falls into one
 * step is one change of who runs, not thousands.
 */
const STEP_US = 100;

export function nowUs({ nowMs }: Clock): number {
  return Math.floor((nowMs() * 1000) / STEP_US) * STEP_US;
}
