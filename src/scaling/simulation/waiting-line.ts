/** Requests, by number, in the order of their arrival; those that come back stand before all that arrived later. */
export class WaitingLine {
  readonly #items: Int32Array;
  readonly #back: number[] = [];
  #from = 0;
  #to = 0;

  constructor(capacity: number) {
    this.#items = new Int32Array(capacity);
  }

  get size(): number {
    return this.#to - this.#from + this.#back.length;
  }

  get first(): number | null {
    const back = this.#back.at(-1);
    if (back !== undefined) return back;
    return this.#from < this.#to ? (this.#items[this.#from] ?? null) : null;
  }

  push(request: number): void {
    this.#items[this.#to] = request;
    this.#to += 1;
  }

  /** All of a machine that was lost: they have arrived before any that never started. */
  putBack(requests: Iterable<number>): void {
    this.#back.push(...requests);
    this.#back.sort((a, b) => b - a);
  }

  take(): number {
    const back = this.#back.pop();
    if (back !== undefined) return back;
    this.#from += 1;
    return this.#items[this.#from - 1] ?? 0;
  }
}
