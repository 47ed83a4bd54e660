/** A pool whose wall clock is five minutes off, either way. Durations go by its monotonic clock: nothing may change. */
import type { Scenario } from "../harness/scenario.ts";

const SHIFT_MS = 300_000;
const preload = new URL("../harness/shifted-clock.ts", import.meta.url);

function shifted(name: string, shiftMs: number): Scenario {
  const env = {
    NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${preload.href}`,
    CHAOS_CLOCK_SHIFT_MS: String(shiftMs),
  };
  return { name, model: "echo", stack: { poolEnv: env }, disturb: async () => [] };
}

export const clock: readonly Scenario[] = [
  shifted("the pool's clock is five minutes ahead", SHIFT_MS),
  shifted("the pool's clock is five minutes behind", -SHIFT_MS),
];
