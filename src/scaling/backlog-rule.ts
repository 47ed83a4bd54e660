/**
 * The rule that decides how many machines there should be, by a few knobs. A forecast sets the floor (square-root
 * staffing over the offered load: A. K. Erlang; W. Whitt, "Understanding the efficiency of multi-server service
 * systems", 1992), the backlog corrects it at once, and what was needed a moment ago is kept for a while.
 */
import type { DayProfile } from "./day-profile.ts";
import { KeepAlive } from "./keep-alive.ts";
import type { MovedArrivals } from "./moved-arrivals.ts";
import { Orders } from "./orders.ts";
import type { Fleet, Machines, Policy } from "./policy.ts";
import { RecentArrivals } from "./recent-arrivals.ts";
import { TurnLimit } from "./turn-limit.ts";

export type Knobs = {
  /** The backlog may grow until its last prediction has to wait so long. */
  backlogS: number;
  /** A machine that is needed no more stays so long. */
  keepS: number;
  /** The offered load is measured over so long; 0: no floor. */
  windowS: number;
  /** The floor covers the offered load and so many of its square roots. */
  deviations: number;
  /** Only that backlog counts which will be left when a machine that is ordered now serves. */
  looksAhead: boolean;
  /** A machine that had work a moment ago is kept, too; otherwise only what was wanted then. */
  keepsBusy: boolean;
  /** A machine is there at times of the day at which something came on so many of the days; 0: at none. */
  dayShare: number;
  /**
   * Nothing is ordered while those that are there will have ended the backlog so long after a boot; 0: no such wait.
   */
  holdS: number;
};

/** What led to the last decision, in machines but for the first four. */
export type Reasons = {
  inSystem: number;
  meanWorkS: number;
  /** Slots that what arrives keeps busy. */
  load: number;
  /** As far as the times between arrivals say so. */
  sureLoad: number;
  floor: number;
  backlog: number;
  /** What it would rent; what is kept besides was needed a moment ago. */
  asked: number;
  kept: number;
};

/** Of a model of which nothing is known. */
const UNKNOWN_WORK_S = 1;
/** The mean of the work follows the last so many predictions. */
const REMEMBERED_WORKS = 500;
const ROUNDING = 1e-9;
/** A boot that took about as long as the others says nothing new. */
const NEWS_SHARE = 0.01;

export class BacklogRule implements Policy {
  readonly usesPaidTime = true;
  #kind: Pick<Machines, "slots" | "bootS">;
  readonly #orders = new Orders();
  #knobs: Knobs;
  #arrivals: RecentArrivals | null;
  #keepAlive: KeepAlive;
  #day: DayProfile | null;
  #meanWorkS: number;
  #works = 0;
  #arrivedAtS = -Infinity;
  /** Null: no queue is older than the knobs. */
  #limit: TurnLimit | null = null;
  /** Null: the model has no other version. */
  #moved: MovedArrivals | null = null;
  /** Written anew at each look: a caller that keeps it has the latest. */
  readonly reasons: Reasons;

  /** `meanWorkS`: what is known of the work before anything has ended here. */
  constructor(
    knobs: Knobs,
    kind: Pick<Machines, "slots" | "bootS">,
    meanWorkS = UNKNOWN_WORK_S,
    day: DayProfile | null = null,
  ) {
    this.#day = day;
    this.#knobs = knobs;
    this.#kind = kind;
    this.#meanWorkS = meanWorkS;
    this.#arrivals = knobs.windowS > 0 ? new RecentArrivals(knobs.windowS) : null;
    this.#keepAlive = new KeepAlive(knobs.keepS);
    this.reasons = { inSystem: 0, meanWorkS, load: 0, sureLoad: 0, floor: 0, backlog: 0, asked: 0, kept: 0 };
  }

  get meanWorkS(): number {
    return this.#meanWorkS;
  }

  /** Other knobs from now on; `arrivals`: the latest, which the new window may reach back to. */
  turn(knobs: Knobs, arrivals: Iterable<number>, day: DayProfile | null = null): void {
    this.#day = day;
    this.#knobs = knobs;
    this.#keepAlive = this.#keepAlive.withKeepS(knobs.keepS);
    this.#arrivals = knobs.windowS > 0 ? new RecentArrivals(knobs.windowS) : null;
    for (const atS of arrivals) this.#arrivals?.arrived(atS);
  }

  /**
   * It doesn't begin with nothing: `machines` are there, and were needed until now. `recent`: what has arrived over its
   * window; null where its knobs have none.
   */
  goOn(recent: RecentArrivals | null, nowS: number, machines: number): void {
    this.#arrivals = recent;
    this.#keepAlive.needed(nowS, machines);
  }

  /**
   * What waits now came before the knobs: until it has ended, or they ask for less, no more is ordered for it than
   * `TurnLimit` says. `arrivals`: the latest.
   */
  limitOrders(arrivals: Iterable<number>): void {
    this.#limit = new TurnLimit(this.#kind, arrivals);
  }

  /** `moved`: what moves between the versions of the model, over the window of these knobs. */
  watch(moved: MovedArrivals | null): void {
    this.#moved = moved;
  }

  /** At another version of the model. */
  arrivedElsewhere(atS: number): void {
    this.#moved?.arrivedElsewhere(atS);
  }

  arrived(atS: number): void {
    this.#arrivedAtS = atS;
    this.#moved?.arrived(atS);
    this.#limit?.arrived(atS);
    this.#arrivals?.arrived(atS);
  }

  started(): void {}

  finished(_atS: number, workS: number): void {
    this.#works += 1;
    this.#meanWorkS += (workS - this.#meanWorkS) / Math.min(this.#works, REMEMBERED_WORKS);
  }

  booted(bootS: number): void {
    if (Math.abs(bootS - this.#kind.bootS) > NEWS_SHARE * bootS) this.#kind = { ...this.#kind, bootS };
  }

  machines(fleet: Fleet): number {
    const { nowS, waiting, running, ready, booting } = fleet;
    const { slots, bootS } = this.#kind;
    const { deviations, keepsBusy } = this.#knobs;
    const meanWorkS = this.#meanWorkS;
    const inSystem = waiting + running;
    const rate = this.#arrivals?.rate(nowS, meanWorkS) ?? 0;
    const load = (this.#moved?.likely(rate, nowS, meanWorkS) ?? rate) * meanWorkS;
    const sureLoad = load * (this.#arrivals?.sureShare() ?? 0);
    const there = ready + booting;
    // What waits when a machine that is ordered now serves, in slot-seconds, if so much arrives meanwhile.
    const doneS = (ready * bootS + this.#orders.look(nowS, booting)) * slots;
    const leftS = (arriving: number): number => Math.max(0, inSystem * meanWorkS + arriving * bootS - doneS);
    const floor = this.#machinesFor(load + deviations * Math.sqrt(load));
    const backlogSlots = this.#slotsForBacklog(inSystem, sureLoad, leftS(sureLoad));
    const isFree = this.#limit === null;
    const backlog = this.#machinesFor(isFree ? backlogSlots : this.#withinLimit(backlogSlots, fleet, leftS));
    const asked = Math.max(floor, backlog, inSystem > 0 || this.#isDaytime(nowS) ? 1 : 0);
    const wanted = this.#canHold(there, leftS(load)) ? Math.min(asked, there) : asked;
    const busy = keepsBusy ? this.#machinesFor(inSystem) : 0;
    const kept = Math.min(there, this.#keepAlive.needed(nowS, Math.min(there, Math.max(busy, wanted))));
    // Assigned one by one: replays look so often that a new object at each look costs time.
    const { reasons } = this;
    reasons.inSystem = inSystem;
    reasons.meanWorkS = meanWorkS;
    reasons.load = load;
    reasons.sureLoad = sureLoad;
    reasons.floor = floor;
    reasons.backlog = backlog;
    reasons.asked = wanted;
    reasons.kept = kept;
    return Math.max(wanted, kept);
  }

  wakeAtS(nowS: number): number {
    const { dayShare } = this.#knobs;
    if (this.#day === null || dayShare === 0) return Infinity;
    const { bootS } = this.#kind;
    return Math.max(nowS, this.#day.nextBusyS(nowS + bootS, dayShare) - bootS);
  }

  steadyUntilS(nowS: number): number {
    // Until the window is empty, the forecast falls.
    if (nowS - this.#arrivedAtS < this.#knobs.windowS + 1) return nowS;
    const keptS = this.#keepAlive.sameUntilS();
    if (this.#day === null || this.#knobs.dayShare === 0) return keptS;
    const { bootS } = this.#kind;
    return Math.min(keptS, this.#day.nextBinS(nowS), this.#day.nextBinS(nowS + bootS) - bootS);
  }

  #isDaytime(nowS: number): boolean {
    const { dayShare } = this.#knobs;
    if (this.#day === null || dayShare === 0) return false;
    return this.#day.isBusy(nowS, dayShare) || this.#day.isBusy(nowS + this.#kind.bootS, dayShare);
  }

  /**
   * Those that end the backlog in its time. Looking ahead, it is what is there now and what surely arrives during a
   * boot, less what the machines that are there will have done by then: nothing that is ordered now can help before.
   */
  #slotsForBacklog(inSystem: number, sureLoad: number, leftS: number): number {
    const { backlogS, looksAhead } = this.#knobs;
    const perSlotS = backlogS + this.#meanWorkS;
    return looksAhead ? sureLoad + leftS / perSlotS : (inSystem * this.#meanWorkS) / perSlotS;
  }

  /** It bounds what is ordered: those that are there may all stay. */
  #withinLimit(slots: number, { nowS, waiting, ready, booting }: Fleet, leftS: (load: number) => number): number {
    if (this.#limit === null) return slots;
    const most = this.#limit.slots(nowS, this.#meanWorkS, leftS);
    if (waiting === 0 || slots <= most) this.#limit = null;
    return Math.min(slots, Math.max(most, (ready + booting) * this.#kind.slots));
  }

  /** Whether those that are there end soon enough, by themselves, what will be left after a boot. */
  #canHold(there: number, leftS: number): boolean {
    const { holdS } = this.#knobs;
    return holdS > 0 && there > 0 && leftS <= holdS * there * this.#kind.slots;
  }

  #machinesFor(slots: number): number {
    return Math.max(0, Math.ceil(slots / this.#kind.slots - ROUNDING));
  }
}
