/** What the instances of a model are made with: a place each, what is launched there, and who hears of it. */
import type { Loaded } from "./child-messages.ts";
import type { InstanceOptions } from "./instance.ts";
import type { RunnerOptions } from "./runner-options.ts";

export type InstanceEvents = Pick<
  InstanceOptions,
  "onReady" | "onSlotMessage" | "onGone" | "onBroken" | "onPrinted"
> & { onLoaded(loaded: Loaded): void };

export function instanceOptionsOf(options: RunnerOptions, { onLoaded, ...events }: InstanceEvents): InstanceOptions[] {
  const { places, model, clock, launch } = options;
  return places.map((place) => ({
    ...place,
    ...events,
    slots: model.slotsPerInstance,
    clock,
    launch: async () => ({ ...(await launch(place.name)), onLoaded }),
  }));
}
