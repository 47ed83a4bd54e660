/**
 * The policy: the backlog rule, whose knobs are tuned by replaying the model's own latest predictions. From time to
 * time it tries the knobs beside the present ones, and some from elsewhere, on the same past; the cheapest at which at
 * most 5 % wait longer than is aimed at holds from then on. One replay a look, so that no look takes long.
 */
import { BacklogRule } from "./backlog-rule.ts";
import type { Reasons } from "./backlog-rule.ts";
import { KnobGrid } from "./knob-grid.ts";
import type { Place } from "./knob-grid.ts";
import type { Fleet, Machines, Policy } from "./policy.ts";
import { scoreOf } from "./replay.ts";
import type { Past } from "./replay.ts";
import { Ring } from "./ring.ts";

const REMEMBERED = 20_000;
const REMEMBERED_CHANGES = 4096;
/** Predictions until the first tuning; then again after 40 % more, and at least every 3,000. */
const FIRST_TUNING = 100;
const GROWTH = 0.4;
const MIN_BETWEEN = 60;
const MAX_BETWEEN = 3000;
const ELSEWHERE = 14;
/** Other knobs must be better by so much: what differs less is chance. */
const BETTER = 0.985;
const MIN_TARGET_S = 0.1;

type Tuning = { past: Past; left: Place[]; best: Place; bestScore: number };

export class SelfTuning implements Policy {
  readonly usesPaidTime = true;
  readonly #targetS: number;
  readonly #rule: BacklogRule;
  readonly #arrivals = new Ring(REMEMBERED);
  readonly #works = new Ring(REMEMBERED);
  readonly #changesAtS = new Ring(REMEMBERED_CHANGES);
  readonly #changesTo = new Ring(REMEMBERED_CHANGES);
  #kind: Machines;
  #grid: KnobGrid;
  #place: Place;
  #tuning: Tuning | null = null;
  #turn = 0;
  #tuneAt = FIRST_TUNING;
  #there = -1;
  #started = 0;
  #late = 0;

  constructor(targetS: number, kind: Machines) {
    this.#targetS = Math.max(MIN_TARGET_S, targetS);
    this.#kind = kind;
    this.#grid = new KnobGrid(this.#targetS, kind.bootS);
    this.#place = this.#grid.start;
    this.#rule = new BacklogRule(this.#grid.knobs(this.#place), kind.slots);
  }

  get reasons(): Reasons {
    return this.#rule.reasons;
  }

  arrived(atS: number): void {
    this.#arrivals.push(atS);
    this.#rule.arrived(atS);
  }

  started(_atS: number, waitS: number): void {
    this.#started += 1;
    if (waitS > this.#targetS) this.#late += 1;
  }

  finished(atS: number, workS: number): void {
    this.#works.push(workS);
    this.#rule.finished(atS, workS);
  }

  booted(bootS: number): void {
    if (bootS === this.#kind.bootS) return;
    this.#kind = { ...this.#kind, bootS };
  }

  machines(fleet: Fleet): number {
    this.#note(fleet);
    if (this.#tuning !== null) this.#tune(this.#tuning);
    else if (this.#arrivals.count >= this.#tuneAt && this.#works.size >= MIN_BETWEEN) this.#begin();
    return this.#rule.machines(fleet);
  }

  wakeAtS(): number {
    return Infinity;
  }

  #note({ nowS, ready, booting }: Fleet): void {
    if (ready + booting === this.#there) return;
    this.#there = ready + booting;
    this.#changesAtS.push(nowS);
    this.#changesTo.push(this.#there);
  }

  #begin(): void {
    const { count } = this.#arrivals;
    this.#tuneAt = count + Math.max(MIN_BETWEEN, Math.min(MAX_BETWEEN, GROWTH * count));
    const size = Math.min(this.#arrivals.size, this.#works.size);
    const requests = { atS: this.#arrivals.latest(size), workS: this.#works.latest(size) };
    const past: Past = {
      requests,
      kind: this.#kind,
      meanWorkS: this.#rule.meanWorkS,
      startWith: this.#machinesAt(requests.atS[0] ?? 0),
      targetS: this.#targetS,
      lateShare: this.#started === 0 ? 0 : this.#late / this.#started,
    };
    const left = [this.#place, ...this.#grid.neighbours(this.#place), ...this.#grid.elsewhere(this.#turn, ELSEWHERE)];
    this.#turn += 1;
    this.#tuning = { past, left, best: this.#place, bestScore: Infinity };
  }

  #tune(tuning: Tuning): void {
    const place = tuning.left.shift();
    if (place === undefined) {
      this.#tuning = null;
      if (tuning.best === this.#place) return;
      this.#place = tuning.best;
      this.#rule.turn(this.#grid.knobs(this.#place), this.#arrivals.latest());
      return;
    }
    const score = scoreOf(this.#grid.knobs(place), tuning.past);
    if (score < tuning.bestScore * (tuning.bestScore === Infinity ? 1 : BETTER)) {
      tuning.bestScore = score;
      tuning.best = place;
    }
  }

  /** How many machines there were at a time; the first that is known of, before that. */
  #machinesAt(atS: number): number {
    const times = this.#changesAtS.latest();
    const counts = this.#changesTo.latest();
    const after = times.findIndex((timeS) => timeS > atS);
    return counts[after === -1 ? counts.length - 1 : Math.max(0, after - 1)] ?? 0;
  }
}
