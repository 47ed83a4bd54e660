/** Why a host can never place a model, whatever it ends for it, and what it could have of a device. Pure. */
import type { ModelNeeds, PlacedInstance, PlacementDevice, PlacementModel } from "./types.ts";

const GIBIBYTE = 1024 ** 3;

/** In words for people; null when it can, now or later. `pinned`: instances of others, which are never ended. */
export function refusalOf(
  model: ModelNeeds & Pick<PlacementModel, "bytes" | "least">,
  devices: readonly PlacementDevice[],
  pinned: readonly PlacedInstance[],
): string | null {
  const ofKind = devices.filter(({ kind }) => kind === model.kind);
  const named = ofKind.filter(({ id }) => model.devices === null || model.devices.includes(id));
  if (ofKind.length === 0) return null;
  if (named.length === 0)
    return `edgeplane.instances.devices names ${model.devices?.join(", ")}, and this host has ${idsOf(ofKind)}`;
  const well = named.filter(({ problem }) => problem === null);
  if (well.length === 0) return named[0]?.problem ?? null;
  const { devicesPerInstance: wanted } = model;
  if (well.length < wanted)
    return `an instance takes ${wanted} devices, and this host has ${well.length} that it may use`;
  const leftOf = (device: PlacementDevice): number => leftBeside(device, pinned);
  const need = model.bytes ?? Math.max(1, model.least);
  const fitting = well.filter((device) => leftOf(device) >= need);
  if (fitting.length >= wanted) return null;
  const beside = pinned.length === 0 ? "" : " beside the pinned models";
  const takes = model.bytes === null ? `more than ${gibibytes(need - 1)}` : gibibytes(need);
  const largest = `the largest has ${gibibytes(Math.max(...well.map(leftOf)))}`;
  if (wanted === 1) return `an instance takes ${takes} of a device, and ${largest}${beside}`;
  const many = fitting.length === 0 ? largest : `only ${fitting.length} ${fitting.length === 1 ? "has" : "have"} that`;
  return `an instance takes ${takes} of each of ${wanted} devices, and ${many}${beside}`;
}

/** What a device has beside these instances, whoever else is on it; Infinity where that isn't known. */
export function leftBeside({ id, memoryBytes }: PlacementDevice, instances: readonly PlacedInstance[]): number {
  return instances
    .filter(({ devices }) => devices.includes(id))
    .reduce((left, { bytes }) => left - bytes, memoryBytes ?? Infinity);
}

/**
 * What pinned instances and other programs left of those devices that an instance of `own` bytes on each had for
 * itself: it got all of that, and none of the `others` was there.
 */
export function sizesHadWhole(
  own: number,
  devices: readonly PlacementDevice[],
  pinned: readonly PlacedInstance[],
  others: readonly Pick<PlacedInstance, "devices">[],
): number[] {
  return devices
    .filter(({ id }) => others.every((other) => !other.devices.includes(id)))
    .map((device) => leftBeside(device, pinned) - device.foreignBytes)
    .filter((left) => own >= left);
}

function idsOf(devices: readonly PlacementDevice[]): string {
  return devices.map(({ id }) => id).join(", ");
}

function gibibytes(bytes: number): string {
  return `${(bytes / GIBIBYTE).toFixed(1)} GiB`;
}
