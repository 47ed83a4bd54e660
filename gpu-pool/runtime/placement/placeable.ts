/** What the models, instances and devices of a host are to placement (host-placer.ts). */
import type { ModelNeeds, PlacedInstance, PlacementDevice } from "../../scheduling/placement/types.ts";

/** What an instance is to placement: `none` has no place. */
export type PlaceableInstance = {
  readonly name: string;
  readonly devices: readonly string[];
  readonly placement: "none" | PlacedInstance["state"];
  readonly readyAtMs: number;
  readonly lastUsedMs: number;
  /** Whether it may be started, now that it has no place; left out, it may. */
  mayStart?(nowMs: number): boolean;
  /** Starts it there. */
  start(devices: readonly string[], kind: ModelNeeds["kind"]): void;
  /** Ends it when it has finished what it runs. */
  retire(): void;
};

/** What a model is to placement. */
export type Placeable = {
  readonly needs: ModelNeeds;
  /** What its author says that an instance takes of a device, in bytes. */
  readonly memoryHint: number | null;
  readonly instances: readonly PlaceableInstance[];
  readonly loadMs: number | null;
  /** How many more may be started now. */
  startable(nowMs: number): number;
  /** How many its work wants. */
  wanted(nowMs: number): number;
  demand(nowMs: number): number;
  /**
   * Whether the host has all that its processes need. If not, the model begins to bring it, and calls the placer when
   * it is there. Left out: the host has all of it.
   */
  prepare?(): boolean;
  /** Ends what doesn't fit what its owner wants now; whether it did anything. */
  fit?(): boolean;
};

/** A device, and what all programs use of it together; null where that isn't told. */
export type SeenDevice = Omit<PlacementDevice, "foreignBytes"> & {
  usedBytes: number | null;
  /** It is missing, and may be back in a moment. */
  isAwaited?: boolean;
};

/** What is used of each of its devices; null where that isn't told of all. */
export function usedOf({ devices }: PlaceableInstance, seen: readonly SeenDevice[]): Map<string, number> | null {
  const used = new Map<string, number>();
  for (const { id, usedBytes } of seen) {
    if (!devices.includes(id)) continue;
    if (usedBytes === null) return null;
    used.set(id, usedBytes);
  }
  return used;
}
