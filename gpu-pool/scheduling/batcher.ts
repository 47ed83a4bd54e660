/**
 * The batcher of one model: what was granted and waits for a slot, in order. Pure: it is told the time.
 *
 * A ticket's way: waiting → (starting sent) → armed → taken. Only an armed ticket, whose start the edge has counted,
 * may be taken. A ticket leaves early when its start deadline passes unarmed, or when it is removed (canceled, stale).
 *
 * Tickets of one group were together in a batch that failed: they run together, in an instance that runs nothing else,
 * before all others.
 */
export type Ticket<T> = {
  readonly id: string;
  readonly enqueuedAtMs: number;
  /** Monotonic time after which an unarmed ticket may not start any more. */
  readonly startByMs: number;
  /** Tickets with the same number run together and with nothing else; null runs with anybody. */
  readonly group: number | null;
  armed: boolean;
  startingSent: boolean;
  readonly payload: T;
};

export type Batch<T> = { tickets: Ticket<T>[]; exclusive: boolean };

export type BatcherOptions = {
  /** The most members of a batch (Triton's `max_batch_size`). */
  maxBatchSize: number;
  /** How long the oldest member may wait for company (Triton's `max_queue_delay`), in milliseconds. */
  maxQueueDelayMs: number;
};

export class Batcher<T> {
  readonly options: BatcherOptions;
  #queue: Ticket<T>[] = [];
  #armed = 0;

  constructor(options: BatcherOptions) {
    this.options = options;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** How many wait with their start counted. */
  get armed(): number {
    return this.#armed;
  }

  add(ticket: Ticket<T>): void {
    this.#queue.push(ticket);
    if (ticket.armed) this.#armed += 1;
  }

  /** Puts `tickets` before everything else, in their order. */
  addFirst(tickets: readonly Ticket<T>[]): void {
    this.#queue.unshift(...tickets);
    for (const ticket of tickets) if (ticket.armed) this.#armed += 1;
  }

  /** Takes one ticket out; undefined when it isn't here. */
  remove(id: string): Ticket<T> | undefined {
    const index = this.#queue.findIndex((ticket) => ticket.id === id);
    const ticket = this.#queue[index];
    if (ticket !== undefined) {
      this.#queue.splice(index, 1);
      if (ticket.armed) this.#armed -= 1;
    }
    return ticket;
  }

  /** Takes all out, in order. */
  clear(): Ticket<T>[] {
    const all = this.#queue;
    this.#queue = [];
    this.#armed = 0;
    return all;
  }

  /** The edge counted this ticket's start. False when it isn't here any more. */
  arm(id: string): boolean {
    const ticket = this.#queue.find((candidate) => candidate.id === id);
    if (ticket === undefined) return false;
    if (!ticket.armed) this.#armed += 1;
    ticket.armed = true;
    return true;
  }

  /** Takes out what may not start any more: unarmed, and its start deadline is over. */
  expire(nowMs: number): Ticket<T>[] {
    const late = (ticket: Ticket<T>): boolean => !ticket.armed && ticket.startByMs <= nowMs;
    if (!this.#queue.some(late)) return [];
    const expired = this.#queue.filter(late);
    this.#queue = this.#queue.filter((ticket) => !late(ticket));
    return expired;
  }

  /** Takes out up to `count` of the last that may run with anybody and wait since `sinceMs` or longer. */
  takeLast(count: number, sinceMs: number): Ticket<T>[] {
    if (count <= 0) return [];
    const mayGo = this.#queue.filter(({ group, enqueuedAtMs }) => group === null && enqueuedAtMs <= sinceMs);
    const last = mayGo.slice(-count);
    const gone = new Set(last);
    this.#queue = this.#queue.filter((ticket) => !gone.has(ticket));
    for (const { armed } of last) if (armed) this.#armed -= 1;
    return last;
  }

  /**
   * Which tickets should have their `starting` sent: the first of the queue, until `quota` are armed or on the way,
   * and always the whole group at the head, because it can only run whole. Marks them.
   */
  toArm(quota: number): Ticket<T>[] {
    const chosen: Ticket<T>[] = [];
    if (this.#armed === this.#queue.length) return chosen;
    const headGroup = this.#queue[0]?.group ?? null;
    let counted = 0;
    for (const ticket of this.#queue) {
      const inHeadGroup = headGroup !== null && ticket.group === headGroup;
      if (counted >= quota && !inHeadGroup) break;
      counted += 1;
      if (ticket.armed || ticket.startingSent) continue;
      ticket.startingSent = true;
      chosen.push(ticket);
    }
    return chosen;
  }

  /**
   * The batch to run in a free slot, or null when there is none yet. `idle` says that the slot's instance runs
   * nothing else. A group goes whole and only into an idle instance; while its starts are not all counted it holds
   * nobody up. Others go when the batch is full or the oldest of them has waited `maxQueueDelayMs`.
   */
  take(nowMs: number, idle: boolean): Batch<T> | null {
    const head = this.#queue[0];
    if (head === undefined || this.#armed === 0) return null;
    const isCounted = this.#queue.every((ticket) => ticket.group !== head.group || ticket.armed);
    return head.group === null || !isCounted ? this.#takeOpen(nowMs) : this.#takeGroup(head.group, idle);
  }

  /** When `take` or `expire` could next answer otherwise by time alone; Infinity when time changes nothing. */
  nextWakeMs(): number {
    let wakeMs = Infinity;
    let windowSeen = false;
    for (const ticket of this.#queue) {
      if (!ticket.armed) wakeMs = Math.min(wakeMs, ticket.startByMs);
      else if (!windowSeen && ticket.group === null) {
        windowSeen = true;
        wakeMs = Math.min(wakeMs, ticket.enqueuedAtMs + this.options.maxQueueDelayMs);
      }
    }
    return wakeMs;
  }

  #takeGroup(group: number, idle: boolean): Batch<T> | null {
    const members = this.#queue.filter((ticket) => ticket.group === group);
    if (!idle) return null;
    this.#withdraw(members);
    return { tickets: members, exclusive: true };
  }

  #takeOpen(nowMs: number): Batch<T> | null {
    const members: Ticket<T>[] = [];
    for (const ticket of this.#queue) {
      if (!ticket.armed || ticket.group !== null) continue;
      members.push(ticket);
      if (members.length === this.options.maxBatchSize) break;
    }
    const oldest = members[0];
    if (oldest === undefined) return null;
    const full = members.length === this.options.maxBatchSize;
    if (!full && nowMs < oldest.enqueuedAtMs + this.options.maxQueueDelayMs) return null;
    this.#withdraw(members);
    return { tickets: members, exclusive: false };
  }

  #withdraw(members: readonly Ticket<T>[]): void {
    this.#armed -= members.length;
    if (members.length === this.#queue.length) {
      this.#queue = [];
      return;
    }
    const taken = new Set(members);
    this.#queue = this.#queue.filter((ticket) => !taken.has(ticket));
  }
}
