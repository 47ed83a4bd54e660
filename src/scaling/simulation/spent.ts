/** Where the time of machines goes, and what is in flight while predictions wait. */

/** In seconds of machines: those before the waits add up to what is paid. */
export type Spent = {
  bootS: number;
  /** Slots that are busy. */
  workS: number;
  /** Free slots of machines that take more, and of those that only finish what they run. */
  idleS: number;
  drainS: number;
  /** Paid for a machine that is gone: what is left of its increment. */
  unusedS: number;
  /** In seconds of predictions that wait: while a machine boots, and while none does. */
  waitsInBootS: number;
  waitsElseS: number;
};

/** What there is between two events. `draining` machines run `finishing`; `running` are all. */
export type Between = {
  booting: number;
  ready: number;
  draining: number;
  running: number;
  finishing: number;
  waiting: number;
};

export class SpentTime {
  readonly #slots: number;
  readonly #sums = { booting: 0, ready: 0, draining: 0, running: 0, finishing: 0 };
  #waitsInBootS = 0;
  #waitsElseS = 0;

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** It was so for `forS`. */
  add(forS: number, { booting, ready, draining, running, finishing, waiting }: Between): void {
    this.#sums.booting += booting * forS;
    this.#sums.ready += ready * forS;
    this.#sums.draining += draining * forS;
    this.#sums.running += running * forS;
    this.#sums.finishing += finishing * forS;
    if (booting > 0) this.#waitsInBootS += waiting * forS;
    else this.#waitsElseS += waiting * forS;
  }

  of(paidS: number): Spent {
    const { booting, ready, draining, running, finishing } = this.#sums;
    return {
      bootS: booting,
      workS: running / this.#slots,
      idleS: ready - (running - finishing) / this.#slots,
      drainS: draining - finishing / this.#slots,
      unusedS: paidS - booting - ready - draining,
      waitsInBootS: this.#waitsInBootS,
      waitsElseS: this.#waitsElseS,
    };
  }
}
