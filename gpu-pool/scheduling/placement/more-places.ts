/**
 * How many more instances of a model would get a place, if its work wanted them: by plans that nobody carries out.
 * Pure.
 */
import { planPlacement } from "./plan.ts";
import type { Host, PlacedInstance, Plan } from "./types.ts";

/** `lookAgainInMs`: when time alone may make it another number; Infinity when it doesn't. */
export type MorePlaces = { places: number; lookAgainInMs: number };

/** Answers for each model of the host, once `plan` is under way. */
export function morePlaces(host: Host, plan: Plan, nowMs: number): (model: string) => MorePlaces {
  const after = underWay(host, plan);
  const evictions = planPlacement(after, nowMs).evictions.length;
  return (name) => {
    const has = after.instances.filter(({ model, state }) => model === name && state !== "leaving").length;
    const models = after.models.map((one) =>
      one.model === name ? { ...one, wanted: Math.min(one.count, has + one.startable), wantedSinceMs: nowMs } : one,
    );
    const would = planPlacement({ ...after, models }, nowMs);
    // Those who would end for it make one place: the next is looked for when that one is free.
    const ended = would.evictions.length > evictions ? 1 : 0;
    const places = would.starts.filter(({ model }) => model === name).length + ended;
    return { places, lookAgainInMs: would.lookAgainInMs };
  };
}

/** The host when what was planned has begun. */
function underWay({ devices, models, instances }: Host, { starts, evictions }: Plan): Host {
  const comers = starts.map(({ model, devices: on, bytes }, index): PlacedInstance => {
    return { id: `comer ${index}`, model, devices: on, bytes, state: "loading", readyAtMs: 0, lastUsedMs: 0 };
  });
  const others = instances.map((one) => (evictions.includes(one.id) ? { ...one, state: "leaving" as const } : one));
  const left = models.map((one) => {
    const began = starts.filter(({ model }) => model === one.model).length;
    return began === 0 ? one : { ...one, startable: one.startable - began };
  });
  return { devices, models: left, instances: [...others, ...comers] };
}
