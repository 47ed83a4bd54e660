/**
 * Nobody is ended for a model whose files or environment are still to be brought, which may take half an hour: its
 * place is taken when they are there.
 */
import { planPlacement } from "../../scheduling/placement/plan.ts";
import type { Host, Plan } from "../../scheduling/placement/types.ts";
import type { Placeable } from "./placeable.ts";

/** What is planned for these, which are the host's models in their order, and the host for which that is so. */
export function planPrepared(placeables: Iterable<Placeable>, host: Host, nowMs: number): { host: Host; plan: Plan } {
  const plan = planPlacement(host, nowMs);
  if (plan.evictions.length === 0) return { host, plan };
  const blocked = new Set(plan.blocked);
  const all = [...placeables];
  const models = host.models.map((model, index) => {
    const isLater = blocked.has(model.model) && all[index]?.prepare?.() === false;
    return isLater ? { ...model, startable: 0 } : model;
  });
  if (models.every((model, index) => model === host.models[index])) return { host, plan };
  const later = { ...host, models };
  return { host: later, plan: planPlacement(later, nowMs) };
}
