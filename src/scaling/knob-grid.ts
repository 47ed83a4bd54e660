/**
 * The knobs that are tried. All are multiples of the wait that is aimed at and of the time that a machine takes to
 * boot, but for the windows: a minute to an hour.
 */
import type { Knobs } from "./backlog-rule.ts";

const BACKLOG_OF_TARGET = [0, 0.25, 0.5, 1, 1.5, 2.5, 4];
const BACKLOG_OF_BOOT = [0.25, 0.5, 1, 2];
const KEEP_OF_BOOT = [0.1, 0.25, 0.5, 1, 1.5, 2.5, 4, 8, 16];
const WINDOWS_S = [0, 60, 180, 600, 1800, 3600];
const DEVIATIONS = [-3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2];
/** A machine stays at least for a look. */
const MIN_KEEP_S = 1;
/** Coprime to the number of places, so that turns go through all of them, far apart. */
const STRIDE = 17;

/** Indexes into the grid's lists. */
export type Place = { backlog: number; keep: number; window: number; deviations: number };
type Axis = keyof Place;

export class KnobGrid {
  readonly #backlogsS: number[];
  readonly #keepsS: number[];
  readonly #places: Place[];
  /** Where to begin: what waits may wait as long as is aimed at, a machine stays 1.5 boots, and nothing is forecast. */
  readonly start: Place;

  constructor(targetS: number, bootS: number) {
    const ofBoot = BACKLOG_OF_BOOT.map((share) => share * bootS).filter((backlogS) => backlogS > targetS);
    const backlogs = new Set([...BACKLOG_OF_TARGET.map((share) => share * targetS), ...ofBoot]);
    this.#backlogsS = [...backlogs].toSorted((a, b) => a - b);
    this.#keepsS = KEEP_OF_BOOT.map((share) => Math.max(MIN_KEEP_S, share * bootS));
    const target = this.#backlogsS.indexOf(targetS);
    const boot = this.#backlogsS.indexOf(bootS);
    this.start = { backlog: target, keep: 4, window: 0, deviations: 5 };
    this.#places = [target, boot === -1 ? this.#backlogsS.length - 1 : boot].flatMap((backlog) =>
      [0, 2, 4, 6].flatMap((keep) => [
        { backlog, keep, window: 0, deviations: 5 },
        ...[2, 4].flatMap((window) => [3, 5, 7].map((deviations) => ({ backlog, keep, window, deviations }))),
      ]),
    );
  }

  knobs(place: Place): Knobs {
    return {
      backlogS: this.#backlogsS[place.backlog] ?? 0,
      keepS: this.#keepsS[place.keep] ?? MIN_KEEP_S,
      windowS: WINDOWS_S[place.window] ?? 0,
      deviations: DEVIATIONS[place.deviations] ?? 0,
    };
  }

  /** One step away, in each direction that leads somewhere. */
  neighbours(place: Place): Place[] {
    const axes: Axis[] = place.window > 0 ? ["backlog", "keep", "window", "deviations"] : ["backlog", "keep", "window"];
    return axes.flatMap((axis) =>
      [-1, 1].flatMap((step) => {
        const next = place[axis] + step;
        return next >= 0 && next < this.#length(axis) ? [{ ...place, [axis]: next }] : [];
      }),
    );
  }

  /** `count` places from all over the grid, others at each turn. */
  elsewhere(turn: number, count: number): Place[] {
    return Array.from({ length: count }, (_, i) => {
      const place = this.#places[((turn * count + i) * STRIDE) % this.#places.length];
      return place ?? this.start;
    });
  }

  #length(axis: Axis): number {
    if (axis === "backlog") return this.#backlogsS.length;
    if (axis === "keep") return this.#keepsS.length;
    return axis === "window" ? WINDOWS_S.length : DEVIATIONS.length;
  }
}
