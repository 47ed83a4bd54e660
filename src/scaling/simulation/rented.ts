/** The machines of a simulation: rented, booting, serving, draining, gone; and what is paid for them. */
import type { Machines } from "../policy.ts";

export type Machine = {
  id: number;
  rentedS: number;
  state: "booting" | "ready" | "draining" | "gone";
  /** How many requests. */
  running: number;
};

export class Rented {
  readonly #kind: Machines;
  readonly #byId: Machine[] = [];
  /** Those that are not gone, in the order of their renting. */
  readonly #active: Machine[] = [];
  /** Machines that serve and take more, and those that boot. */
  ready = 0;
  booting = 0;
  paidS = 0;
  most = 0;
  /** Of those that are not gone, the sum of the times of their renting. */
  #rentedSumS = 0;

  constructor(kind: Machines) {
    this.#kind = kind;
  }

  get count(): number {
    return this.#active.length;
  }

  rent(nowS: number, state: "booting" | "ready"): Machine {
    const machine: Machine = { id: this.#byId.length, rentedS: nowS, state, running: 0 };
    this.#byId.push(machine);
    this.#active.push(machine);
    this.#rentedSumS += nowS;
    this.most = Math.max(this.most, this.#active.length);
    this.#count(state, 1);
    return machine;
  }

  machine(id: number): Machine {
    const machine = this.#byId[id];
    if (machine === undefined) throw new Error(`there is no machine ${id}`);
    return machine;
  }

  become(machine: Machine, state: Machine["state"]): void {
    this.#count(machine.state, -1);
    this.#count(state, 1);
    machine.state = state;
  }

  /** The machine that runs most and has a slot left. */
  fullestWithSlot(): Machine | null {
    if (this.ready === 0) return null;
    const { slots } = this.#kind;
    let fullest: Machine | null = null;
    for (const machine of this.#active) {
      if (machine.state !== "ready" || machine.running >= slots) continue;
      if (machine.running === slots - 1) return machine;
      if (fullest === null || machine.running > fullest.running) fullest = machine;
    }
    return fullest;
  }

  /**
   * Those that leave when `count` are too many, of those that `may`, the cheapest to lose first: what boots, the latest
   * first; then what runs least. What boots and will be needed stays, even if the time is over that is paid for it.
   */
  leaving(count: number, may: (machine: Machine) => boolean): Machine[] {
    let needed = Math.max(0, this.booting - count);
    const leaving: Machine[] = [];
    for (const machine of this.#active) {
      const isFirstToServe = machine.state === "booting" && needed > 0;
      if (isFirstToServe) needed -= 1;
      if (machine.state === "draining" || isFirstToServe || !may(machine)) continue;
      // One alone is too many most of the time, and nothing is to be sorted.
      const [least] = leaving;
      if (count > 1 || least === undefined) leaving.push(machine);
      else if (compareLeaving(machine, least) < 0) leaving[0] = machine;
    }
    return count > 1 ? leaving.sort(compareLeaving).slice(0, count) : leaving;
  }

  /** How much longer it is paid for already. */
  paidForS({ rentedS }: Machine, nowS: number): number {
    return rentedS + this.#increments(nowS - rentedS) - nowS;
  }

  /** Of all, the least. */
  firstPaidForS(nowS: number): number {
    return Math.min(...this.#active.map((machine) => this.paidForS(machine, nowS)));
  }

  /** What has to be paid so far, were all to end now and nothing rounded up for those that are there. */
  usedS(nowS: number): number {
    return this.paidS + this.#active.length * nowS - this.#rentedSumS;
  }

  end(machine: Machine, nowS: number): void {
    this.paidS += this.#increments(nowS - machine.rentedS);
    this.#rentedSumS -= machine.rentedS;
    this.become(machine, "gone");
    this.#active.splice(this.#active.indexOf(machine), 1);
  }

  endAll(nowS: number): void {
    for (const machine of [...this.#active]) this.end(machine, nowS);
  }

  #increments(forS: number): number {
    const { billingS } = this.#kind;
    return Math.max(1, Math.ceil(forS / billingS - 1e-9)) * billingS;
  }

  #count(state: Machine["state"], by: number): void {
    if (state === "ready") this.ready += by;
    else if (state === "booting") this.booting += by;
  }
}

/** Below 0: `a` is the cheaper one to lose. */
function compareLeaving(a: Machine, b: Machine): number {
  return leavingCost(a) - leavingCost(b) || b.rentedS - a.rentedS;
}

function leavingCost({ state, running }: Machine): number {
  return state === "booting" ? -1 : running;
}
