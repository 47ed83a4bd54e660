/**
 * How many machines one version of a model would have: what its lane tells, handed to its policy in the policy's terms.
 *
 * A lane tells device time, which is a share of a batch, or a slot's. How much of it a machine serves in a second is
 * measured while predictions wait, and corrects what a prediction is taken to take. Of a machine that serves several
 * models, that share counts which the model has of what runs there.
 */
import type { VersionDemand } from "../demand.ts";
import type { Memory } from "../memory.ts";
import { machinesAtDeadline } from "../patience.ts";
import type { ModelNeed } from "../placement.ts";
import type { Reasons } from "../backlog-rule.ts";
import { SelfTuning } from "../self-tuning.ts";

const MAX_HEARD = 2000;
const MAX_SLOTS = 256;
/**
 * A capacity that was measured over so much time, and so many predictions' time, counts; then it follows the last ten
 * minutes. Of fewer it says little how many ended before it was measured, and after.
 */
const MEASURED_S = 10;
const MEASURED_WORKS = 20;
const REMEMBERED_S = 600;
/** Of a machine, what a model has that barely needs it. */
const LEAST_SHARE = 0.05;
const SWAP_S = 30;
/** Until one was seen to boot, and while nothing is offered. */
const UNKNOWN_BOOT_MS = 60_000;
const UNKNOWN_BILLING_S = 60;

/** Whoever wants a machine longer that nothing needs says so: `min`. */
const MAX_KEEP_S = 3600;

export type Kind = { bootS: number; billingS: number; lossPerHour: number };
/** Null: what is paid at once isn't known while nothing is offered. */
export type KnownKind = Omit<Kind, "billingS"> & { billingS: number | null };
export type Bounds = { targetS: number; patienceS: number; min: number; max: number; memoryBytes: number };
type Count = { ready: number; booting: number };
/** Machines of its class, and those of others that serve it or boot for it; `standing`: pools that nobody rented. */
export type Served = { own: Count; others: Count; standing: number };
export type Heard = { arrived: number; started: number; waitedMs: number; ended: number; endedMs: number };

export class Appetite {
  readonly model: string;
  readonly version: string;
  #policy: SelfTuning;
  #slots = 1;
  #targetS: number;
  #kind: Kind;
  #demand: VersionDemand | null = null;
  #heardAtS: number | null = null;
  /** Device time of what ended while more waited than the machines could begin, and the time of these machines. */
  #busyS = 0;
  #readyS = 0;
  /** Machines that it had when it was heard last. */
  #had = 0;
  #meanS: number | null = null;
  #wanted = 0;
  /** Machines for what could wait, and can't any longer. */
  #patient = 0;
  #tunings = 0;
  #hasLearned = false;
  /** When it last waited, ran or arrived. */
  activeAtS = -Infinity;

  constructor(ref: { model: string; version: string }, targetS: number, kind: KnownKind) {
    this.model = ref.model;
    this.version = ref.version;
    this.#targetS = targetS;
    this.#kind = { ...kind, billingS: kind.billingS ?? UNKNOWN_BILLING_S };
    this.#policy = this.#newPolicy();
  }

  /**
   * As it was when its policy was stored, or that of another version of its model; how much a machine runs at a time is
   * measured anew.
   */
  static recall(
    ref: { model: string; version: string },
    memory: Memory,
    nowS: number,
    from: "stored" | "another version" = "stored",
  ): Appetite {
    const appetite = new Appetite(ref, memory.targetS, memory.kind);
    if (memory.works.length > 0) appetite.#meanS = memory.meanWorkS;
    appetite.#policy = appetite.#newPolicy();
    appetite.#policy.recall(memory, nowS, from);
    appetite.#tunings = appetite.#policy.tunings;
    return appetite;
  }

  /** Whether its policy knows more than when it was stored last. */
  get hasLearned(): boolean {
    return this.#hasLearned;
  }

  /** Whether it wants machines before anything comes. */
  get prewarms(): boolean {
    return this.#policy.prewarms;
  }

  /** When it wants to be looked at again, by the seconds of its calls; Infinity: with the next arrival. */
  wakeAtS(nowS: number): number {
    return this.#policy.wakeAtS(nowS);
  }

  /** What it has learned. */
  memory(): Memory {
    return this.#policy.memory();
  }

  /** What is to be stored. */
  remember(): Memory {
    this.#hasLearned = false;
    return this.#policy.memory();
  }

  get reasons(): Reasons {
    return this.#policy.reasons;
  }
  get demand(): VersionDemand | null {
    return this.#demand;
  }
  get wanted(): number {
    return this.#wanted;
  }
  /** What one takes of a machine's slot, in seconds; null: none has ended. */
  get workS(): number | null {
    return this.#meanS;
  }

  /**
   * News of its lane. `heard`: what happened since the last. `shares`: machines that it has, of those where others are
   * too its share of what runs there.
   */
  hear(nowS: number, demand: VersionDemand, heard: Heard, shares: number): void {
    const before = this.#demand;
    this.#demand = demand;
    if (heard.arrived > 0 || heard.ended > 0) this.#hasLearned = true;
    this.#measure(nowS, before, heard);
    this.#had = shares;
    for (let n = Math.min(MAX_HEARD, heard.arrived); n > 0; n -= 1) this.#policy.arrived(nowS);
    const waitS = heard.started === 0 ? 0 : heard.waitedMs / heard.started / 1000;
    for (let n = Math.min(MAX_HEARD, heard.started); n > 0; n -= 1) this.#policy.started(nowS, waitS);
    if (heard.ended > 0 && heard.endedMs > 0) {
      const workS = this.#workOf(heard.endedMs / heard.ended / 1000);
      this.#meanS = workS;
      for (let n = Math.min(MAX_HEARD, heard.ended); n > 0; n -= 1) this.#policy.finished(nowS, workS);
    }
    if (heard.arrived > 0 || inSystem(demand) > 0) this.activeAtS = nowS;
  }

  /** So many came to another version of its model. */
  hearElsewhere(nowS: number, arrived: number): void {
    for (let n = Math.min(MAX_HEARD, arrived); n > 0; n -= 1) this.#policy.arrivedElsewhere(nowS);
  }

  /** Seconds since it last waited, ran or arrived; 0 while it does. */
  idleS(nowS: number): number {
    return inSystem(this.#demand) > 0 ? 0 : nowS - this.activeAtS;
  }

  /** What it needs of its class now. */
  need(nowS: number, served: Served, bounds: Bounds, known: KnownKind): ModelNeed {
    const kind = { ...known, billingS: known.billingS ?? this.#kind.billingS };
    this.#adopt(nowS, bounds.targetS, kind);
    const { own, others, standing } = served;
    const [ready, booting] = [own.ready + others.ready, own.booting + others.booting];
    const running = this.#demand?.inFlight ?? 0;
    const low = this.#demand?.waiting.low ?? 0;
    const waiting = waitingOf(this.#demand) - low;
    const oldestWaitS = (this.#demand?.waitingMs ?? 0) / 1000;
    const fleet = { nowS, waiting, oldestWaitS, running, ready: ready + standing, booting };
    const wanted = this.#policy.machines(fleet);
    if (this.#policy.tunings !== this.#tunings) this.#hasLearned = true;
    this.#tunings = this.#policy.tunings;
    const there = ready + booting + standing;
    const spare = Math.max(0, there - wanted - this.#patient);
    // What is rented for them is no spare machine, and stays until none waits.
    this.#patient = low === 0 ? 0 : Math.max(this.#patient, this.#forPatient(low, oldestWaitS, spare, bounds, kind));
    this.#wanted = Math.max(0, Math.max(wanted, this.#patient) - standing);
    // What it keeps in other classes is there because its own can't give it: that must want it still.
    const isSpread = others.ready + others.booting > 0;
    const asked = Math.max(0, Math.max(isSpread ? wanted : this.#policy.reasons.asked, this.#patient) - standing);
    return {
      model: `${this.model} ${this.version}`,
      machines: asked <= 1 && this.#wanted > 0 ? this.#shareOfOne() : asked,
      // All machines of the class count as its own, also where several models keep the same: none is rented for that.
      keptMachines: this.#wanted,
      patientMachines: low / this.#slots,
      memoryBytes: bounds.memoryBytes,
      swapS: SWAP_S,
      targetS: bounds.targetS,
      min: bounds.min,
      max: Math.max(bounds.min, bounds.max),
    };
  }

  /** Machines for what can wait, once it can't any longer. */
  #forPatient(low: number, waitedS: number, spareMachines: number, { patienceS }: Bounds, { bootS }: Kind): number {
    const workS = low * this.#policy.reasons.meanWorkS;
    const untilDeadlineS = patienceS - waitedS;
    return machinesAtDeadline({ workS, untilDeadlineS, slots: this.#slots, bootS, spareMachines });
  }

  /** One machine is wanted: how much of it. */
  #shareOfOne(): number {
    const { sureLoad, inSystem: count, meanWorkS } = this.#policy.reasons;
    const backlog = count / (1 + this.#targetS / Math.max(1e-3, meanWorkS));
    return Math.min(1, Math.max(LEAST_SHARE, sureLoad / this.#slots, backlog / this.#slots));
  }

  #measure(nowS: number, before: VersionDemand | null, heard: Heard): void {
    const sessions = this.#demand?.sessions ?? [];
    const slots = Math.max(1, ...sessions.map(({ inFlight, startNow }) => inFlight + startNow));
    if (slots > this.#slots * 1.5 && slots <= MAX_SLOTS) {
      this.#slots = slots;
      this.#renew(nowS);
    }
    const elapsedS = nowS - (this.#heardAtS ?? nowS);
    this.#heardAtS = nowS;
    // The end that lets the last one begin belongs to the time in which it waited.
    const isBusyStill = waitingOf(this.#demand) > 0 || !sessions.some(({ startNow }) => startNow > 0);
    const isFull = waitingOf(before) > 0 && isBusyStill;
    if (!isFull || this.#had === 0 || elapsedS <= 0) return;
    this.#busyS += heard.endedMs / 1000;
    this.#readyS += elapsedS * this.#had;
    if (this.#readyS < REMEMBERED_S) return;
    this.#busyS /= 2;
    this.#readyS /= 2;
  }

  /** The time that it holds a slot, by what a machine was seen to serve: never less than it has of its device. */
  #workOf(deviceS: number): number {
    const isMeasured = this.#readyS > Math.max(MEASURED_S, MEASURED_WORKS * deviceS) && this.#busyS > 0;
    return isMeasured ? deviceS * Math.max(1, (this.#slots * this.#readyS) / this.#busyS) : deviceS;
  }

  #adopt(nowS: number, targetS: number, kind: Kind): void {
    if (kind.bootS !== this.#kind.bootS) this.#policy.booted(kind.bootS);
    const isOther = targetS !== this.#targetS || kind.billingS !== this.#kind.billingS;
    this.#targetS = targetS;
    this.#kind = kind;
    if (isOther) this.#renew(nowS);
  }

  /** Another policy, which knows what the one before has learned. */
  #renew(nowS: number): void {
    const before = this.#policy;
    this.#policy = this.#newPolicy();
    this.#policy.recall(before.memory(), nowS, before);
  }

  #newPolicy(): SelfTuning {
    return new SelfTuning(this.#targetS, { ...this.#kind, slots: this.#slots }, this.#meanS ?? undefined, MAX_KEEP_S);
  }
}

/** `paid`: machines that there are, then those that are offered. */
export function kindOf(
  hardware: string,
  bootMs: number | null,
  setupMs: number,
  paid: readonly { hardware: string; billingIncrementS: number }[],
): KnownKind {
  const first = paid.find((one) => one.hardware === hardware);
  const bootS = Math.round(((bootMs ?? UNKNOWN_BOOT_MS) + setupMs) / 1000);
  return { bootS, billingS: first?.billingIncrementS ?? null, lossPerHour: 0 };
}

export function waitingOf(demand: VersionDemand | null): number {
  return demand === null ? 0 : demand.waiting.high + demand.waiting.normal + demand.waiting.low;
}

export function inSystem(demand: VersionDemand | null): number {
  return waitingOf(demand) + (demand?.inFlight ?? 0);
}
