/**
 * What plugins decided in this isolate since it last told: how often, by plugin, phase and action. Told to the settings
 * object with each look at the settings, which adds them up for `/admin/v1/metrics`.
 */
import type { VerdictAction } from "../contract/verdict.ts";

export type VerdictCount = { plugin: string; phase: string; action: VerdictAction; count: number };

const counts = new Map<string, VerdictCount>();

export function countVerdict(plugin: string, phase: string, action: VerdictAction, count = 1): void {
  addTo(counts, { plugin, phase, action, count });
}

/** Takes them out: whoever could not tell them puts them back. */
export function takeVerdictCounts(): VerdictCount[] {
  const taken = [...counts.values()];
  counts.clear();
  return taken;
}

export function addTo(sums: Map<string, VerdictCount>, { plugin, phase, action, count }: VerdictCount): void {
  const key = `${plugin} ${phase} ${action}`;
  sums.set(key, { plugin, phase, action, count: (sums.get(key)?.count ?? 0) + count });
}
