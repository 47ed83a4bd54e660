/** The latest numbers, at most so many. */
export class Ring {
  readonly #numbers: Float64Array;
  #count = 0;

  constructor(capacity: number) {
    this.#numbers = new Float64Array(capacity);
  }

  /** How many there have ever been. */
  get count(): number {
    return this.#count;
  }

  get size(): number {
    return Math.min(this.#count, this.#numbers.length);
  }

  /** The oldest that is remembered, if older ones were forgotten; else -Infinity. */
  get firstKept(): number {
    const next = this.#numbers[this.#count % this.#numbers.length] ?? 0;
    return this.#count > this.#numbers.length ? next : -Infinity;
  }

  push(number: number): void {
    this.#numbers[this.#count % this.#numbers.length] = number;
    this.#count += 1;
  }

  /** The latest `size`, the oldest first. */
  latest(size = this.size): Float64Array {
    const latest = new Float64Array(Math.min(size, this.size));
    const from = this.#count - latest.length;
    for (let i = 0; i < latest.length; i += 1) latest[i] = this.#numbers[(from + i) % this.#numbers.length] ?? 0;
    return latest;
  }
}
