/** What the instances of a model are made with: a name, what is launched, and who hears of it. */
import type { Loaded } from "./child-messages.ts";
import { holdDevices, leaveDevices } from "./device-turns.ts";
import type { InstanceOptions } from "./instance.ts";
import { launchKey } from "./models/configured.ts";
import type { RunnerOptions } from "./runner-options.ts";

/** Also of one that was there, and died: it starts on another device. */
const FENCED = "its device takes nothing new";

export type InstanceEvents = Pick<
  InstanceOptions,
  "onReady" | "onGrew" | "onSlotMessage" | "onGone" | "onBroken" | "onPrinted"
> & { onLoaded(loaded: Loaded): void };

/** Of the instance of this number. */
export function instanceOptionsOf(
  { label, model, clock, launch, placer, meter, onRoom }: RunnerOptions,
  { onLoaded, ...events }: InstanceEvents,
): (index: number) => InstanceOptions {
  return (index) => ({
    ...events,
    onSlotMessage(instance, slot, message, frame) {
      events.onSlotMessage(instance, slot, message, frame);
      if (message.type === "done" || message.type === "idle") holdDevices(instance.runs.values(), slot, meter);
    },
    onGone(instance, death, runs) {
      for (const run of runs) leaveDevices(run, meter);
      events.onGone(instance, death, runs);
    },
    name: `${label}#${index}`,
    slots: model.slotsPerInstance,
    clock,
    onLife(instance) {
      meter.lives({ name: instance.name, model: model.manifest, devices: instance.devices }, instance.phase);
      // What it would have taken it takes no more.
      if (instance.placement === "leaving") onRoom();
      // Without a process it leaves its place at once, and nothing else may tell.
      if (instance.placement === "none") placer.changed();
    },
    onMayStart() {
      placer.changed();
      onRoom();
    },
    async launch(instance, kind) {
      instance.launchedWith = launchKey(model);
      if (placer.isOnFenced(instance)) throw new Error(FENCED);
      const prepared = await launch(instance.name, kind);
      await placer.aboutToLoad(instance);
      if (placer.isOnFenced(instance)) {
        prepared.discard?.();
        throw new Error(FENCED);
      }
      return { ...prepared, onLoaded };
    },
  });
}
