/**
 * The knobs that are tried. All are multiples of the wait that is aimed at and of the time that a machine takes to
 * boot, but for the windows: a minute to an hour.
 */
import type { Knobs } from "./backlog-rule.ts";
import type { Machines } from "./policy.ts";

const BACKLOG_OF_TARGET = [0, 0.25, 0.5, 1, 1.5, 2.5, 4];
/** Between the target and the time that a machine is paid for at least, along the logarithm. */
const BACKLOG_BETWEEN = [0.25, 0.5, 0.75, 1];
const BACKLOG_OF_COMMITMENT = 2;
const KEEP_OF_BOOT = [0.1, 0.25, 0.5, 1, 1.5, 2.5, 4, 8, 16];
const WINDOWS_S = [0, 60, 180, 600, 1800, 3600];
const DEVIATIONS = [-3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3];
/** The first is that of places without a window: what looks ahead, or keeps only what was wanted, needs a forecast. */
const FORMS = [
  { looksAhead: false, keepsBusy: true },
  { looksAhead: false, keepsBusy: false },
  { looksAhead: true, keepsBusy: true },
  { looksAhead: true, keepsBusy: false },
] as const;
/** The first: whatever the time of day. */
const DAY_SHARES = [0, 0.9, 0.6, 0.35];
/** Beyond those, twice as long each time. */
const MAX_KEEP_S = 3 * 86_400;
/** A machine stays at least for a look. */
const MIN_KEEP_S = 1;
/** Of the target beyond a boot. The other half is left for what is not foreseen. */
const HOLD_SHARE = 0.5;
/** Coprime to the number of places, so that turns go through all of them, far apart. */
const STRIDE = 17;

/** Indexes into the grid's lists. */
export type Place = {
  backlog: number;
  keep: number;
  window: number;
  deviations: number;
  form: number;
  day: number;
  hold: number;
};
type Axis = Exclude<keyof Place, "form" | "day" | "hold">;

const NO_DEVIATION = 5;
/** Tried all over the grid. A target that is shorter than a machine is paid for at least takes more. */
const DEVIATIONS_TRIED = { short: [NO_DEVIATION, 8, 10], long: [3, NO_DEVIATION, 7] } as const;

export class KnobGrid {
  readonly #backlogsS: number[];
  readonly #keepsS: number[];
  readonly #holdsS: number[];
  readonly #places: Place[];
  /**
   * Where to begin. A target that is shorter than a machine is paid for at least: what is forecast, and so many more
   * that the backlog ends within the geometric mean of both. A longer one: a little less than what is forecast, since
   * the backlog may correct it.
   */
  readonly start: Place;

  /** `startTargetS`: what is begun with aims at this instead. */
  constructor(
    targetS: number,
    { bootS, billingS }: Pick<Machines, "bootS" | "billingS">,
    { maxKeepS = Infinity, startTargetS = targetS } = {},
  ) {
    const commitmentS = Math.max(bootS, billingS);
    const isPatient = targetS >= commitmentS;
    this.#backlogsS = backlogs(targetS, commitmentS);
    const longestS = Math.min(maxKeepS, MAX_KEEP_S);
    this.#keepsS = KEEP_OF_BOOT.map((share) => Math.max(MIN_KEEP_S, Math.min(longestS, share * bootS)));
    for (let keepS = this.#keepsS.at(-1) ?? 1; keepS < longestS; keepS *= 2)
      this.#keepsS.push(Math.min(longestS, keepS * 2));
    this.#holdsS = holds(targetS, bootS, billingS);
    const hold = this.#holdsS.length - 1;
    const window = Math.max(1, nearest(WINDOWS_S, bootS));
    this.start = isPatient
      ? { backlog: nearest(this.#backlogsS, targetS), keep: 4, window, deviations: 3, form: 1, day: 0, hold }
      : {
          backlog: nearest(this.#backlogsS, Math.sqrt(startTargetS * commitmentS)),
          keep: 2,
          window,
          deviations: NO_DEVIATION,
          form: 2,
          day: 0,
          hold,
        };
    const deviations = DEVIATIONS_TRIED[isPatient ? "long" : "short"];
    const tried = [targetS, isPatient ? 2.5 * targetS : commitmentS].map((backlogS) =>
      nearest(this.#backlogsS, backlogS),
    );
    this.#places = tried.flatMap((backlog) =>
      [0, 2, 4, 6].flatMap((keep) => placesAround(backlog, keep, hold, deviations)),
    );
  }

  knobs(place: Place): Knobs {
    return {
      backlogS: this.#backlogsS[place.backlog] ?? 0,
      keepS: this.#keepsS[place.keep] ?? MIN_KEEP_S,
      windowS: WINDOWS_S[place.window] ?? 0,
      deviations: DEVIATIONS[place.deviations] ?? 0,
      dayShare: DAY_SHARES[place.day] ?? 0,
      holdS: this.#holdsS[place.hold] ?? 0,
      ...(FORMS[place.window > 0 ? place.form : 0] ?? FORMS[0]),
    };
  }

  /** The place whose knobs are nearest to these, which may be of another grid. */
  nearest({ backlogS, keepS, windowS, deviations, looksAhead, keepsBusy, dayShare, holdS }: Knobs): Place {
    const form = FORMS.findIndex((one) => one.looksAhead === looksAhead && one.keepsBusy === keepsBusy);
    return {
      backlog: nearest(this.#backlogsS, backlogS),
      keep: nearest(this.#keepsS, keepS),
      window: nearest(WINDOWS_S, windowS),
      deviations: Math.max(0, DEVIATIONS.indexOf(deviations)),
      form: Math.max(0, form),
      day: nearest(DAY_SHARES, dayShare),
      hold: holdS > 0 ? this.#holdsS.length - 1 : 0,
    };
  }

  /**
   * One step away, in each direction that leads somewhere; the other forms; and with the other wait before ordering.
   */
  neighbours(place: Place): Place[] {
    const axes: Axis[] = place.window > 0 ? ["backlog", "keep", "window", "deviations"] : ["backlog", "keep", "window"];
    const steps = axes.flatMap((axis) =>
      [-1, 1].flatMap((step) => {
        const next = place[axis] + step;
        return next >= 0 && next < this.#length(axis) ? [{ ...place, [axis]: next }] : [];
      }),
    );
    for (const hold of this.#holdsS.keys()) if (hold !== place.hold) steps.push({ ...place, hold });
    if (place.window === 0) return steps;
    return [...steps, ...FORMS.flatMap((_, form) => (form === place.form ? [] : [{ ...place, form }]))];
  }

  /** The same, and the plainest, with machines that stay at least so long. */
  keeping(place: Place, keepsS: readonly number[]): Place[] {
    const last = this.#keepsS.length - 1;
    const indexes = keepsS
      .map((keepS) => this.#keepsS.findIndex((one) => one >= keepS))
      .map((at) => (at < 0 ? last : at));
    const plain = { ...this.start, window: 0, form: 0 };
    return [...new Set(indexes)].flatMap((keep) => [
      { ...place, keep },
      { ...plain, keep },
    ]);
  }

  /** The same, and the plainest that keeps nothing for long, with machines for other times of the day. */
  byDay(place: Place): Place[] {
    const plain = { ...this.start, window: 0, form: 0 };
    return DAY_SHARES.flatMap((_, day) => [{ ...place, day }, ...(day === 0 ? [] : [{ ...plain, day }])]);
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

function backlogs(targetS: number, commitmentS: number): number[] {
  const ofTarget = BACKLOG_OF_TARGET.map((share) => share * targetS);
  if (targetS >= commitmentS) return ofTarget;
  const between = BACKLOG_BETWEEN.map((share) => targetS ** (1 - share) * commitmentS ** share);
  const all = new Set([...ofTarget, ...between, BACKLOG_OF_COMMITMENT * commitmentS]);
  return [...all].toSorted((a, b) => a - b);
}

/** The last is where to begin. Worth it only where a machine is paid for longer than another takes to boot. */
function holds(targetS: number, bootS: number, billingS: number): number[] {
  return billingS > bootS && targetS > bootS ? [0, HOLD_SHARE * (targetS - bootS)] : [0];
}

function placesAround(backlog: number, keep: number, hold: number, deviationsTried: readonly number[]): Place[] {
  const forecasts = [2, 4].flatMap((window) => deviationsTried.map((deviations) => ({ window, deviations })));
  return [
    { backlog, keep, window: 0, deviations: NO_DEVIATION, form: 0, day: 0, hold },
    ...forecasts.flatMap((forecast) => FORMS.map((_, form) => ({ backlog, keep, ...forecast, form, day: 0, hold }))),
  ];
}

/** The index of the value whose ratio to `wanted` is the smallest. */
function nearest(values: readonly number[], wanted: number): number {
  const off = (value: number): number => (value > 0 ? Math.abs(Math.log(value / wanted)) : Infinity);
  return values.reduce((best, value, i) => (off(value) < off(values[best] ?? 0) ? i : best), 0);
}
