/** What something took lately: an average in which the last value has a quarter of the weight. Pure. */
const LAST_WEIGHT = 0.25;

export class Lately {
  /** Null before the first. */
  value: number | null = null;
  count = 0;

  add(next: number): void {
    this.count += 1;
    this.value = this.value === null ? next : this.value + LAST_WEIGHT * (next - this.value);
  }
}
