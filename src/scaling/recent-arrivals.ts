/** How often predictions arrive, over the last so many seconds: counted in 60 bins, however many there are. */
const BINS = 60;
const ROUNDING = 1e-6;

export class RecentArrivals {
  readonly #windowS: number;
  readonly #binS: number;
  readonly #counts = new Uint32Array(BINS);
  #count = 0;
  /** The bin of now, counted from the clock's zero. */
  #bin = -Infinity;
  #firstS: number | null = null;
  /** Before that time nothing has to be counted anew. */
  #sameBinUntilS = -Infinity;

  constructor(windowS: number) {
    this.#windowS = windowS;
    this.#binS = windowS / BINS;
  }

  copy(): RecentArrivals {
    const other = new RecentArrivals(this.#windowS);
    other.#counts.set(this.#counts);
    [other.#count, other.#bin, other.#firstS] = [this.#count, this.#bin, this.#firstS];
    return other;
  }

  arrived(atS: number): void {
    this.#firstS ??= atS;
    this.#advance(atS);
    const index = this.#index(this.#bin);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count += 1;
  }

  count(nowS: number): number {
    this.#advance(nowS);
    return this.#count;
  }

  /** A second. `atLeastS`: of less time than this nothing is concluded. */
  rate(nowS: number, atLeastS: number): number {
    this.#advance(nowS);
    const knownS = this.#firstS === null ? 0 : nowS - this.#firstS;
    return this.#count / Math.min(this.#windowS, Math.max(knownS, atLeastS));
  }

  /** Of the rate, what the times between arrivals say, one less than there are arrivals: a single one says nothing. */
  sureShare(): number {
    return this.#count < 2 ? 0 : 1 - 1 / this.#count;
  }

  #advance(nowS: number): void {
    if (nowS < this.#sameBinUntilS) return;
    const bin = Math.floor(nowS / this.#binS);
    if (bin - this.#bin >= BINS) {
      this.#counts.fill(0);
      this.#count = 0;
    } else {
      for (let left = this.#bin + 1; left <= bin; left += 1) {
        const index = this.#index(left);
        this.#count -= this.#counts[index] ?? 0;
        this.#counts[index] = 0;
      }
    }
    this.#bin = Math.max(this.#bin, bin);
    this.#sameBinUntilS = (this.#bin + 1 - ROUNDING) * this.#binS;
  }

  #index(bin: number): number {
    const index = bin % BINS;
    return index < 0 ? index + BINS : index;
  }
}
