/** What happens next: a binary heap of times, each with a kind and a number. Equal times come out as they went in. */
type Event = { atS: number; order: number; kind: number; id: number };

export class EventHeap {
  readonly #events: Event[] = [];
  #order = 0;
  /** Of the event that `pop` took. */
  kind = 0;
  id = 0;

  /** Infinity when there is none. */
  get nextS(): number {
    return this.#events[0]?.atS ?? Infinity;
  }

  push(atS: number, kind: number, id: number): void {
    const events = this.#events;
    this.#order += 1;
    const event: Event = { atS, order: this.#order, kind, id };
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = events[above];
      if (parent === undefined || !isBefore(event, parent)) break;
      events[at] = parent;
      at = above;
    }
    events[at] = event;
  }

  pop(): void {
    const events = this.#events;
    this.kind = events[0]?.kind ?? 0;
    this.id = events[0]?.id ?? 0;
    const last = events.pop();
    if (last === undefined || events.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const [first, second] = [events[left], events[left + 1]];
      if (first === undefined) break;
      const child = second !== undefined && isBefore(second, first) ? second : first;
      if (!isBefore(child, last)) break;
      events[at] = child;
      at = child === first ? left : left + 1;
    }
    events[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atS < b.atS || (a.atS === b.atS && a.order < b.order);
}
