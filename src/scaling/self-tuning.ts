/**
 * The policy: the backlog rule, whose knobs are tuned by replaying the model's own latest predictions. From time to
 * time it tries the knobs beside the present ones, and some from elsewhere, on the same past; the cheapest at which at
 * most 5 % wait longer than is aimed at holds from then on. One replay a look, so that no look takes long.
 */
import { ArrivalsBefore } from "./arrivals-before.ts";
import { BacklogRule } from "./backlog-rule.ts";
import type { Knobs, Reasons } from "./backlog-rule.ts";
import { DayHistory } from "./day-history.ts";
import { DayProfile } from "./day-profile.ts";
import { keepTimesS } from "./idle-times.ts";
import { KnobGrid } from "./knob-grid.ts";
import type { Place } from "./knob-grid.ts";
import { MAX_STORED_WORKS, packed, unpacked } from "./memory.ts";
import type { Memory } from "./memory.ts";
import type { Fleet, Machines, Policy } from "./policy.ts";
import { MovedArrivals } from "./moved-arrivals.ts";
import { mostUseful, scoreOf } from "./replay.ts";
import type { Past } from "./replay.ts";
import { Ring } from "./ring.ts";

const REMEMBERED = 10_000;
/** Arrivals at other versions. */
const REMEMBERED_ELSEWHERE = 2048;
/** Predictions until the first tuning; then again after 40 % more, and at least every 3,000. */
const FIRST_TUNING = 40;
const MIN_WORKS = 30;
const GROWTH = 0.4;
const MIN_BETWEEN = 40;
const MAX_BETWEEN = 3000;
/** A past that is shorter than so many boots says too little of what an order leads to. */
const MIN_BOOTS = 3;
/** The shorter the past, the more places are tried on it: about so many predictions are replayed. */
const REPLAYED = 100_000;
const MIN_ELSEWHERE = 14;
const MAX_ELSEWHERE = 60;
/** Other knobs must be better by so much: what differs less is chance. */
const BETTER = 0.97;
const MIN_TARGET_S = 0.001;
/** Shorter waits are alike to whoever waits: what is tuned for, and counted as late. */
const SAME_WAIT_S = 0.1;
/** Square roots of the load for each halving of a target below that: about half as many are late. */
const PER_HALVING = 0.5;

type Tuning = { past: Past; left: Place[]; best: Place; bestScore: number };

export class SelfTuning implements Policy {
  readonly usesPaidTime = true;
  readonly #targetS: number;
  readonly #lateAfterS: number;
  readonly #rule: BacklogRule;
  readonly #arrivals = new Ring(REMEMBERED);
  readonly #works = new Ring(REMEMBERED);
  /** Arrivals at other versions of the model; null: none is known of. */
  #elsewhere: Ring | null = null;
  /** Arrivals before that time were another version's, or came while nothing was known of other versions. */
  #ownFromS = -Infinity;
  #days = new DayHistory();
  #kind: Machines;
  #grid: KnobGrid;
  #place: Place;
  #tuning: Tuning | null = null;
  #turn = 0;
  #tuneAt = FIRST_TUNING;
  /** Machines at the last look, as far as it wanted them: others of the class may be there for other models. */
  #had = 0;
  #started = 0;
  #late = 0;

  /**
   * `targetS`: below 0.1 s, each halving asks for half a square root of the load more than tuning finds.
   * `meanWorkS`: of the model's predictions, where they have run before. `maxKeepS`: no knob keeps a machine longer
   * that is needed no more.
   */
  constructor(targetS: number, kind: Machines, meanWorkS?: number, maxKeepS = Infinity) {
    this.#targetS = Math.max(MIN_TARGET_S, targetS);
    this.#lateAfterS = Math.max(SAME_WAIT_S, targetS);
    this.#kind = kind;
    this.#grid = new KnobGrid(this.#lateAfterS, kind, { maxKeepS, startTargetS: this.#targetS });
    this.#place = this.#grid.start;
    this.#rule = new BacklogRule(this.#ruleKnobs(), kind, meanWorkS);
  }

  /** How often it has tuned itself. */
  get tunings(): number {
    return this.#turn - (this.#tuning === null ? 0 : 1);
  }

  /** Whether it wants machines before anything comes. */
  get prewarms(): boolean {
    return this.#rule.wakeAtS(0) < Infinity;
  }

  /** What it has learned. A tuning that is under way is due again. */
  memory(): Memory {
    return {
      ...{ v: 1, targetS: this.#targetS, kind: this.#kind, meanWorkS: this.#rule.meanWorkS },
      knobs: this.#grid.knobs(this.#place),
      arrivals: packed(this.#arrivals.latest()),
      works: [...this.#works.latest(MAX_STORED_WORKS)],
      days: this.#days.days(),
      ...{ started: this.#started, late: this.#late, turn: this.tunings },
      untilTuning: this.#tuning === null ? Math.max(0, Math.ceil(this.#tuneAt - this.#arrivals.count)) : 0,
    };
  }

  /**
   * Goes on from what one like it had learned. For another target or other machines it tunes itself anew. `from`: where
   * that is of another version; or the policy that this one follows.
   */
  recall(memory: Memory, nowS: number, from: "stored" | "another version" | SelfTuning = "stored"): void {
    const arrivals = unpacked(memory.arrivals, nowS);
    for (const atS of arrivals) this.#arrivals.push(atS);
    this.#knowElsewhere(arrivals, nowS, from);
    for (const workS of memory.works) this.#works.push(workS);
    this.#days = new DayHistory(memory.days);
    [this.#started, this.#late, this.#turn] = [memory.started, memory.late, memory.turn];
    const isSame = memory.targetS === this.#targetS && isSameKind(memory.kind, this.#kind);
    this.#tuneAt = isSame || this.#turn === 0 ? this.#arrivals.count + memory.untilTuning : this.#arrivals.count;
    if (this.#turn > 0 && memory.targetS === this.#targetS) this.#place = this.#grid.nearest(memory.knobs);
    const atS = this.#arrivals.latest();
    this.#turnRule(atS, this.#dayOf(atS));
  }

  get meanWorkS(): number {
    return this.#rule.meanWorkS;
  }

  get reasons(): Reasons {
    return this.#rule.reasons;
  }

  arrived(atS: number): void {
    this.#arrivals.push(atS);
    this.#days.arrived(atS);
    this.#rule.arrived(atS);
  }

  /** At another version of the model. */
  arrivedElsewhere(atS: number): void {
    const isFirst = this.#elsewhere === null;
    this.#elsewhere ??= new Ring(REMEMBERED_ELSEWHERE);
    this.#elsewhere.push(atS);
    if (isFirst) this.#watch();
    else this.#rule.arrivedElsewhere(atS);
  }

  started(_atS: number, waitS: number): void {
    this.#started += 1;
    if (waitS > this.#lateAfterS) this.#late += 1;
  }

  finished(atS: number, workS: number): void {
    this.#works.push(workS);
    this.#rule.finished(atS, workS);
  }

  booted(bootS: number): void {
    if (bootS === this.#kind.bootS) return;
    this.#kind = { ...this.#kind, bootS };
    this.#rule.booted(bootS);
  }

  machines(fleet: Fleet): number {
    if (this.#tuning !== null) this.#tune(this.#tuning);
    else if (this.#isDue()) this.#begin();
    const wanted = this.#rule.machines(fleet);
    this.#had = Math.min(wanted, fleet.ready + fleet.booting);
    return wanted;
  }

  wakeAtS(nowS: number): number {
    return this.#rule.wakeAtS(nowS);
  }

  steadyUntilS(nowS: number): number {
    return this.#tuning === null && !this.#isDue() ? this.#rule.steadyUntilS(nowS) : nowS;
  }

  /**
   * What is tuned has 5 % late if the future is as the past was; what a very short target adds is for when it isn't.
   */
  #ruleKnobs(): Knobs {
    const knobs = this.#grid.knobs(this.#place);
    return { ...knobs, deviations: knobs.deviations + PER_HALVING * Math.log2(this.#lateAfterS / this.#targetS) };
  }

  #knowElsewhere(arrivals: readonly number[], nowS: number, from: "stored" | "another version" | SelfTuning): void {
    if (typeof from !== "string") {
      this.#elsewhere = from.#elsewhere;
      this.#ownFromS = from.#ownFromS;
      return;
    }
    this.#ownFromS = nowS;
    if (from === "stored") return;
    this.#elsewhere = new Ring(REMEMBERED_ELSEWHERE);
    for (const atS of arrivals) this.#elsewhere.push(atS);
  }

  #turnRule(atS: Float64Array, day: DayProfile | null): void {
    this.#rule.turn(this.#ruleKnobs(), atS, day);
    this.#watch();
  }

  #watch(): void {
    const { windowS } = this.#ruleKnobs();
    this.#rule.watch(null);
    if (this.#elsewhere !== null && windowS > 0) {
      // Shares of the model's rate are those since the first of which nothing is forgotten.
      const fromS = Math.max(this.#arrivals.firstKept, this.#elsewhere.firstKept);
      const own = this.#arrivals.latest().filter((atS) => atS >= Math.max(fromS, this.#ownFromS));
      const elsewhere = this.#elsewhere.latest().filter((atS) => atS >= fromS);
      this.#rule.watch(new MovedArrivals(windowS, own, elsewhere));
    }
  }

  #isDue(): boolean {
    return this.#arrivals.count >= this.#tuneAt && this.#works.size >= MIN_WORKS;
  }

  #begin(): void {
    const { count } = this.#arrivals;
    const atS = this.#arrivals.latest();
    const [firstS = 0, lastS = 0] = [atS[0], atS.at(-1)];
    if (lastS - firstS < MIN_BOOTS * this.#kind.bootS) {
      this.#tuneAt = count + MIN_BETWEEN;
      return;
    }
    this.#tuneAt = count + Math.max(MIN_BETWEEN, Math.min(MAX_BETWEEN, GROWTH * count));
    // Of those that have not ended, the work is taken from those that have.
    const works = this.#works.latest();
    const workS = Float64Array.from(
      atS,
      (_, i) => works[(i + REMEMBERED * works.length - atS.length) % works.length] ?? 0,
    );
    const requests = { atS, workS };
    const day = this.#dayOf(atS);
    const past: Past = {
      requests,
      day,
      kind: this.#kind,
      meanWorkS: this.#rule.meanWorkS,
      before: new ArrivalsBefore(atS),
      startWith: this.#had,
      most: mostUseful(requests, this.#kind),
      targetS: this.#lateAfterS,
      lateShare: this.#started === 0 ? 0 : this.#late / this.#started,
    };
    const elsewhere = Math.min(MAX_ELSEWHERE, Math.max(MIN_ELSEWHERE, Math.round(REPLAYED / atS.length)));
    const left = [
      this.#place,
      ...this.#grid.neighbours(this.#place),
      ...this.#grid.keeping(this.#place, keepTimesS(atS)),
      ...(day === null ? [] : this.#grid.byDay(this.#place)),
      ...this.#grid.elsewhere(this.#turn, elsewhere),
    ];
    this.#turn += 1;
    this.#tuning = { past, left, best: this.#place, bestScore: Infinity };
  }

  #tune(tuning: Tuning): void {
    const place = tuning.left.shift();
    if (place === undefined) {
      this.#tuning = null;
      if (tuning.best === this.#place) return;
      this.#place = tuning.best;
      const atS = this.#arrivals.latest();
      this.#turnRule(atS, tuning.past.day);
      this.#rule.limitOrders(atS);
      return;
    }
    const mustBe = tuning.bestScore * BETTER;
    const score = scoreOf(this.#grid.knobs(place), tuning.past, mustBe);
    if (score < mustBe) {
      tuning.bestScore = score;
      tuning.best = place;
    }
  }

  /** Of the arrivals that are remembered; where they came within less than a week, of the days. */
  #dayOf(atS: Float64Array): DayProfile | null {
    return DayProfile.of(atS) ?? this.#days.profile();
  }
}

function isSameKind(a: Machines, b: Machines): boolean {
  return a.slots === b.slots && a.billingS === b.billingS;
}
