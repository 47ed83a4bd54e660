/** What happens next: a binary heap of times, each with a kind and a number. Equal times come out as they went in. */
export class EventHeap {
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #kinds: number[] = [];
  readonly #ids: number[] = [];
  #order = 0;
  /** Of the event that `pop` took. */
  kind = 0;
  id = 0;

  /** Infinity when there is none. */
  get nextS(): number {
    return this.#times[0] ?? Infinity;
  }

  push(atS: number, kind: number, id: number): void {
    let at = this.#times.length;
    this.#order += 1;
    this.#set(at, atS, this.#order, kind, id);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): void {
    this.kind = this.#kinds[0] ?? 0;
    this.id = this.#ids[0] ?? 0;
    const last = this.#times.length - 1;
    this.#swap(0, last);
    for (const column of [this.#times, this.#orders, this.#kinds, this.#ids]) column.pop();
    this.#sink(last);
  }

  #sink(length: number): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= length) return;
      const right = left + 1;
      const child = right < length && this.#isBefore(right, left) ? right : left;
      if (!this.#isBefore(child, at)) return;
      this.#swap(at, child);
      at = child;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [timeA = 0, timeB = 0] = [this.#times[a], this.#times[b]];
    return timeA < timeB || (timeA === timeB && (this.#orders[a] ?? 0) < (this.#orders[b] ?? 0));
  }

  #swap(a: number, b: number): void {
    for (const column of [this.#times, this.#orders, this.#kinds, this.#ids]) {
      const kept = column[a] ?? 0;
      column[a] = column[b] ?? 0;
      column[b] = kept;
    }
  }

  #set(at: number, atS: number, order: number, kind: number, id: number): void {
    this.#times[at] = atS;
    this.#orders[at] = order;
    this.#kinds[at] = kind;
    this.#ids[at] = id;
  }
}
