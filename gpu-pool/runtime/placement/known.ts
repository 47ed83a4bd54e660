/** What the placer knows of a model, and of a load of it (host-placer.ts). */
import type { MemoryEstimate } from "../../scheduling/placement/memory-estimate.ts";
import type { Placeable } from "./placeable.ts";

export type Known = {
  placeable: Placeable;
  memory: MemoryEstimate;
  wantedSinceMs: number | null;
  /** Devices on which it could not be set up, or was of no use, and has not been ready since. */
  failedOn: Set<string>;
};

/** A load under way: what its devices held before. `isDoubtful`: something else changed on them meanwhile. */
export type Load = { used: Map<string, number>; isDoubtful: boolean };
