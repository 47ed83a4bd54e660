/**
 * A signal to a whole group of processes comes more than once, through npm too: what follows the first so soon is the
 * same one.
 */
const SAME_SIGNAL_MS = 1000;

/**
 * Calls `first` at the first signal that asks the process to end, and `again` at one that is meant to end it at once.
 */
export function onSignals(first: (signal: NodeJS.Signals) => void, again: () => void): void {
  let heardAtMs: number | null = null;
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(name, () => {
      if (heardAtMs === null) {
        heardAtMs = performance.now();
        first(name);
      } else if (performance.now() - heardAtMs > SAME_SIGNAL_MS) again();
    });
  }
}
