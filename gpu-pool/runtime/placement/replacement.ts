/**
 * Which instances of a model leave because its owner wants it otherwise: those that are too many at once, and those
 * that run where, or as, they shouldn't one after the other, each once the one before is replaced, so that the others
 * serve meanwhile. All finish what they run.
 */
import type { ModelNeeds } from "../../scheduling/placement/types.ts";
import type { PlaceableInstance } from "./placeable.ts";

export type Replaceable = PlaceableInstance & {
  readonly launchedWith: string | null;
  readonly state: string;
};

/** Whether it is on other devices, or was launched with something else, than its owner wants. */
export function isMisfit(
  { devices, launchedWith }: Pick<Replaceable, "devices" | "launchedWith">,
  needs: Pick<ModelNeeds, "kind" | "devices" | "devicesPerInstance">,
  launchKey: string,
): boolean {
  if (launchedWith !== null && launchedWith !== launchKey) return true;
  // Where it fell back to the CPU, or to a card, is the host's business.
  if (needs.kind !== "cuda" || devices.includes("cpu")) return false;
  const allowed = needs.devices;
  return (
    devices.length !== needs.devicesPerInstance || (allowed !== null && !devices.every((id) => allowed.includes(id)))
  );
}

export class Replacement {
  /** How many there were when it began, which are kept until it is over. */
  kept = 0;

  /** There is no place for what should come instead: it comes when there is work for it. */
  giveUp(): void {
    this.kept = 0;
  }

  /** Those that leave now. `count`: the most that may stay; `misfits`: of those that have a place. */
  next<One extends Replaceable>(
    { all, placed }: { all: readonly One[]; placed: readonly One[] },
    { count, misfits }: { count: number; misfits: readonly One[] },
  ): One[] {
    const isMisfitting = new Set(misfits);
    const surplus = Math.max(0, placed.length - count);
    if (surplus > 0) return leastUseful(placed, isMisfitting).slice(0, surplus);
    if (misfits.length === 0) {
      if (placed.length >= this.kept) this.kept = 0;
      return [];
    }
    // What can't be set up as its owner wants it takes no other with it.
    if (all.some(({ state }) => state === "broken" || state === "looping")) return [];
    this.kept = Math.max(this.kept, placed.length);
    const isComing = placed.some((one) => one.placement === "loading" && !isMisfitting.has(one));
    if (isComing || all.some(({ placement }) => placement === "leaving") || placed.length < this.kept) return [];
    return leastUseful(misfits, isMisfitting).slice(0, 1);
  }
}

/** Those first that are no good anyway, then those that do nothing, then the last that came. */
function leastUseful<One extends Replaceable>(instances: readonly One[], misfits: ReadonlySet<One>): One[] {
  const worth = (one: One): number => (misfits.has(one) ? 0 : 2) + (one.placement === "busy" ? 1 : 0);
  return instances.toReversed().toSorted((one, other) => worth(one) - worth(other));
}
