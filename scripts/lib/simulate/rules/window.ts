/** A mean over the last seconds, of a value that was seen at each look. */
export class WindowMean {
  readonly #windowS: number;
  readonly #timesS: number[] = [];
  readonly #values: number[] = [];
  #from = 0;
  #sum = 0;

  constructor(windowS: number) {
    this.#windowS = windowS;
  }

  add(nowS: number, value: number): number {
    this.#timesS.push(nowS);
    this.#values.push(value);
    this.#sum += value;
    while ((this.#timesS[this.#from] ?? nowS) < nowS - this.#windowS) {
      this.#sum -= this.#values[this.#from] ?? 0;
      this.#from += 1;
    }
    if (this.#from > 4096 && this.#from * 2 > this.#timesS.length) {
      this.#timesS.splice(0, this.#from);
      this.#values.splice(0, this.#from);
      this.#from = 0;
    }
    return Math.max(0, this.#sum) / (this.#timesS.length - this.#from);
  }
}

/** A wish that holds only once it has been above, or below, what is there for so long. */
export class Delays {
  readonly #upS: number;
  readonly #downS: number;
  #aboveSinceS: number | null = null;
  #belowSinceS: number | null = null;

  constructor(upS: number, downS: number) {
    this.#upS = upS;
    this.#downS = downS;
  }

  apply(nowS: number, wanted: number, there: number): number {
    this.#aboveSinceS = wanted > there ? (this.#aboveSinceS ?? nowS) : null;
    this.#belowSinceS = wanted < there ? (this.#belowSinceS ?? nowS) : null;
    if (this.#aboveSinceS !== null && nowS - this.#aboveSinceS >= this.#upS) {
      this.#aboveSinceS = null;
      return wanted;
    }
    if (this.#belowSinceS !== null && nowS - this.#belowSinceS >= this.#downS) {
      this.#belowSinceS = null;
      return wanted;
    }
    return there;
  }
}
