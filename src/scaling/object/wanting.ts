/** Which versions of a class may have machines, and what bounds them. */
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { Appetite, Bounds } from "./appetite.ts";
import type { Appetites } from "./appetites.ts";
import { settingsOf } from "./class-state.ts";
import type { Lanes } from "./lanes.ts";
import type { MachineBook } from "./machine-book.ts";
import { heldElsewhere, servingIn } from "./residents.ts";
import type { Sickness } from "./sickness.ts";
import type { Resolved, Wish } from "./wishes.ts";

export type Wanting = { key: string; appetite: Appetite; bounds: Bounds };
type Here = {
  lanes: Lanes;
  book: MachineBook;
  appetites: Appetites;
  sickness: Sickness;
  settings: ScalingSettings;
  resolved(key: string): Resolved;
};
type Asked = { wishes: Iterable<readonly [string, Wish]>; nowMs: number };

/** `open`: the appetite of a version that is to have machines before anything comes. */
export function wantingOf(
  here: Here,
  hardware: string,
  { wishes, nowMs }: Asked,
  open: (key: string, wish: Wish) => Appetite | null,
): Wanting[] {
  const own = settingsOf(here.settings, hardware);
  return [...wishes].flatMap(([key, wish]) => {
    const { hardware: its, targetS, min, firmMin, max } = here.resolved(key);
    if (its !== hardware) return [];
    const serving = servingIn(here, key, hardware, own.external);
    const tries = here.sickness.mayTry(key, nowMs, firmMin);
    if (tries === 0 && serving.all === 0) return [];
    const appetite = here.appetites.get(key) ?? (min > 0 ? open(key, wish) : null);
    if (appetite === null) return [];
    const held = [...heldElsewhere(here, key, hardware).values()].reduce((sum, count) => sum + count, 0);
    // What serves it stays, also where it can't be set up on others.
    const most = serving.here + tries;
    return [
      {
        key,
        appetite,
        bounds: {
          targetS: targetS ?? own.target_wait_s,
          patienceS: own.low_priority_wait_s,
          min: Math.max(0, Math.min(min - held, most)),
          max: Math.max(0, Math.min(max - held, own.max, most)),
          memoryBytes: wish.memoryBytes,
        },
      },
    ];
  });
}
