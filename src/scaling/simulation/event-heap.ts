/** What happens next: a binary heap of times, each with a kind and a number. Equal times come out as they went in. */
const FIRST_CAPACITY = 64;

export class EventHeap {
  #times = new Float64Array(FIRST_CAPACITY);
  #orders = new Float64Array(FIRST_CAPACITY);
  #kinds = new Uint8Array(FIRST_CAPACITY);
  #ids = new Int32Array(FIRST_CAPACITY);
  #size = 0;
  #order = 0;
  /** Infinity when there is none. */
  nextS = Infinity;
  /** Of the event that `pop` took. */
  kind = 0;
  id = 0;

  push(atS: number, kind: number, id: number): void {
    if (this.#size === this.#times.length) this.#grow();
    this.#order += 1;
    let at = this.#size;
    this.#size += 1;
    // Nothing that is there came later: equal times stay above.
    while (at > 0) {
      const above = (at - 1) >> 1;
      if ((this.#times[above] ?? 0) <= atS) break;
      this.#move(above, at);
      at = above;
    }
    this.#put(at, atS, this.#order, kind, id);
  }

  pop(): void {
    this.kind = this.#kinds[0] ?? 0;
    this.id = this.#ids[0] ?? 0;
    this.#size -= 1;
    const last = this.#size;
    const atS = this.#times[last] ?? Infinity;
    const order = this.#orders[last] ?? 0;
    let at = 0;
    for (let child = 1; child < last; child = 2 * at + 1) {
      const right = child + 1;
      if (right < last && this.#isBefore(right, this.#times[child] ?? 0, this.#orders[child] ?? 0)) child = right;
      if (!this.#isBefore(child, atS, order)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, last === 0 ? Infinity : atS, order, this.#kinds[last] ?? 0, this.#ids[last] ?? 0);
  }

  #isBefore(at: number, thanS: number, thanOrder: number): boolean {
    const atS = this.#times[at] ?? 0;
    return atS < thanS || (atS === thanS && (this.#orders[at] ?? 0) < thanOrder);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from] ?? 0, this.#orders[from] ?? 0, this.#kinds[from] ?? 0, this.#ids[from] ?? 0);
  }

  #put(at: number, atS: number, order: number, kind: number, id: number): void {
    this.#times[at] = atS;
    this.#orders[at] = order;
    this.#kinds[at] = kind;
    this.#ids[at] = id;
    if (at === 0) this.nextS = atS;
  }

  #grow(): void {
    const capacity = 2 * this.#times.length;
    const [times, orders, kinds, ids] = [this.#times, this.#orders, this.#kinds, this.#ids];
    this.#times = new Float64Array(capacity);
    this.#orders = new Float64Array(capacity);
    this.#kinds = new Uint8Array(capacity);
    this.#ids = new Int32Array(capacity);
    this.#times.set(times);
    this.#orders.set(orders);
    this.#kinds.set(kinds);
    this.#ids.set(ids);
  }
}
