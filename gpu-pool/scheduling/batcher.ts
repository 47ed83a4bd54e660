/**
 * The batcher of one model: what was granted and waits for a slot, in order. Pure: it is told the time.
 *
 * A ticket's way: waiting → (starting sent) → armed → taken. Only an armed ticket, whose start the edge has counted,
 * may be taken. A ticket leaves early when its start deadline passes unarmed, when it can't end by its deadline any
 * more (of models that say so), or when it is removed (canceled, stale).
 *
 * Tickets of one group ran together when that failed: they run together, in an instance that runs nothing else, before
 * all others. In one of several slots they are batches side by side, else one.
 */
import { BatchLimits } from "./batching/batch-limits.ts";
import type { BatchingOptions } from "./batching/batch-limits.ts";

/** What a run may take beyond the least, as a share of that, and a timer beyond its time. */
const DEADLINE_SHARE = 0.25;
const DEADLINE_MARGIN_MS = 20;

export type Ticket<T> = {
  readonly id: string;
  readonly enqueuedAtMs: number;
  /** Monotonic time after which an unarmed ticket may not start any more. */
  readonly startByMs: number;
  /** Monotonic time by which it must have ended. */
  readonly endByMs: number;
  /** What it costs its model, in the units of the model's cost; 1 where that has none. */
  readonly cost: number;
  /** Tickets with the same number run together and with nothing else; null runs with anybody. */
  readonly group: number | null;
  armed: boolean;
  startingSent: boolean;
  readonly payload: T;
};

/**
 * Why a batch goes now: it has all the members that it may have (`full`), or all the cost (`cost`); a member has waited
 * `maxQueueDelayMs` (`delay`), or would miss its deadline (`deadline`); a slot was free, and the model waits for no
 * company (`idle`); its members failed together (`again`).
 */
export type Reason = "full" | "cost" | "delay" | "deadline" | "idle" | "again";

export type Batch<T> = { tickets: Ticket<T>[]; exclusive: boolean; reason: Reason };

type Plan<T> = { members: Ticket<T>[]; full: "full" | "cost" | null };

export class Batcher<T> {
  readonly limits: BatchLimits;
  #queue: Ticket<T>[] = [];
  #armed = 0;

  constructor(options: BatchingOptions) {
    this.limits = new BatchLimits(options);
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
    const ticket = this.#queue.find((candidate) => candidate.id === id);
    if (ticket !== undefined) this.#withdraw([ticket]);
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
    return this.#takeOut(({ armed, startByMs }) => !armed && startByMs <= nowMs);
  }

  /** Takes out what can't end by its deadline any more, of a model that says so. */
  dropLate(nowMs: number): Ticket<T>[] {
    if (this.limits.options.dropsLate !== true) return [];
    return this.#takeOut((ticket) => this.#beginByMs(ticket) < nowMs);
  }

  /** Takes out up to `count` of the last that may run with anybody and wait since `sinceMs` or longer. */
  takeLast(count: number, sinceMs: number): Ticket<T>[] {
    if (count <= 0) return [];
    const mayGo = this.#queue.filter(({ group, enqueuedAtMs }) => group === null && enqueuedAtMs <= sinceMs);
    const last = mayGo.slice(-count);
    this.#withdraw(last);
    return last;
  }

  /**
   * Which tickets should have their `starting` sent: those of the batches that go next, until `quota` are armed or on
   * the way, and always the whole group at the head, because it can only run whole. Marks them.
   */
  toArm(quota: number): Ticket<T>[] {
    const chosen: Ticket<T>[] = [];
    if (this.#armed === this.#queue.length) return chosen;
    const headGroup = this.#queue[0]?.group ?? null;
    let counted = 0;
    for (const ticket of this.#inOrderOfBatches(quota)) {
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
   * nobody up. Others go when a batch is full, or one has waited `maxQueueDelayMs` or would miss its deadline: then
   * that one and those of its bucket. With `onlyFull` none goes that could have more members. Of a group for an
   * instance of several `slots` the first batch goes, and `more` has the others.
   */
  take(nowMs: number, idle: boolean, onlyFull = false, slots = 1): Batch<T> | null {
    if (this.#armed === 0) return null;
    const group = this.nextGroup;
    if (group === null) return this.#takeOpen(nowMs, onlyFull);
    return onlyFull || !idle ? null : this.#takeGroup(group, slots);
  }

  /** The same of what runs with anybody, whichever group goes next. */
  takeBeside(nowMs: number): Batch<T> | null {
    return this.#takeOpen(nowMs, false);
  }

  /** The group that goes next, in an instance that is idle; null when what goes next runs with anybody. */
  get nextGroup(): number | null {
    const group = this.#queue[0]?.group ?? null;
    const isCounted = group !== null && this.#queue.every((ticket) => ticket.group !== group || ticket.armed);
    return isCounted ? group : null;
  }

  /** The next batch of a group for the instance of several slots that runs it; null when there is none. */
  more(group: number): Batch<T> | null {
    return this.#takeGroup(group, Infinity);
  }

  /**
   * When after `nowMs` `take`, `expire` or `dropLate` could answer otherwise by time alone; Infinity when time changes
   * nothing.
   */
  nextWakeMs(nowMs: number): number {
    let wakeMs = Infinity;
    const wakeAt = (atMs: number): void => {
      if (atMs > nowMs && atMs < wakeMs) wakeMs = atMs;
    };
    for (const ticket of this.#queue) {
      if (!ticket.armed) wakeAt(ticket.startByMs);
      else if (ticket.group === null) {
        wakeAt(ticket.enqueuedAtMs + this.limits.options.maxQueueDelayMs);
        wakeAt(this.#pressesAtMs(ticket));
      }
      if (this.limits.options.dropsLate === true) wakeAt(this.#beginByMs(ticket) + 1);
    }
    return wakeMs;
  }

  /** The latest time at which it may begin and end in time, as far as its model's runs are known. */
  #beginByMs({ endByMs, cost }: Ticket<T>): number {
    return endByMs - this.limits.leastMs(cost);
  }

  /** From then on it waits for no company: a run may take longer than the least, and a timer is late. */
  #pressesAtMs(ticket: Ticket<T>): number {
    return this.#beginByMs(ticket) - DEADLINE_SHARE * this.limits.leastMs(ticket.cost) - DEADLINE_MARGIN_MS;
  }

  #takeGroup(group: number, slots: number): Batch<T> | null {
    const most = slots > 1 ? this.limits.options.maxBatchSize : Infinity;
    const members = this.#queue.filter((ticket) => ticket.group === group && ticket.armed).slice(0, most);
    if (members.length === 0) return null;
    this.#withdraw(members);
    return { tickets: members, exclusive: true, reason: "again" };
  }

  #takeOpen(nowMs: number, onlyFull: boolean): Batch<T> | null {
    const open = this.#queue.filter(({ armed, group }) => armed && group === null);
    const [oldest] = open;
    if (oldest === undefined) return null;
    const due = this.#due(open, nowMs);
    const plan = due === null ? this.#firstFull(open) : this.#widest(open, due.ticket);
    if (plan === null || (onlyFull && plan.full === null)) return null;
    this.#withdraw(plan.members);
    return { tickets: plan.members, exclusive: false, reason: plan.full ?? due?.reason ?? "idle" };
  }

  /** The first that waits no longer for company, and why; null when none does. */
  #due(open: readonly Ticket<T>[], nowMs: number): { ticket: Ticket<T>; reason: Reason } | null {
    const { maxQueueDelayMs } = this.limits.options;
    for (const ticket of open) {
      if (nowMs >= ticket.enqueuedAtMs + maxQueueDelayMs)
        return { ticket, reason: maxQueueDelayMs === 0 ? "idle" : "delay" };
      if (nowMs >= this.#pressesAtMs(ticket)) return { ticket, reason: "deadline" };
    }
    return null;
  }

  /** The first batch in order that can have no more members. */
  #firstFull(open: readonly Ticket<T>[]): Plan<T> | null {
    const tried = new Set<number>();
    for (const ticket of open) {
      const bucket = this.limits.bucketOf(ticket.cost);
      if (tried.has(bucket)) continue;
      tried.add(bucket);
      const plan = this.#plan(open, ticket);
      if (plan.full !== null) return plan;
    }
    return null;
  }

  /** The batch that goes with `first`: of its bucket, in order, as many as there may be. */
  #plan(open: readonly Ticket<T>[], first: Ticket<T>): Plan<T> {
    const { limits } = this;
    const bucket = limits.bucketOf(first.cost);
    const most = limits.sizeOf(bucket);
    const members = [first];
    let largest = first.cost;
    if (most === 1) return { members, full: "full" };
    for (const ticket of open) {
      if (ticket === first || limits.bucketOf(ticket.cost) !== bucket) continue;
      const cost = Math.max(largest, ticket.cost);
      if (cost === Infinity || cost * (members.length + 1) > limits.cost) return { members, full: "cost" };
      members.push(ticket);
      largest = cost;
      if (members.length === most) return { members, full: "full" };
    }
    return { members, full: null };
  }

  /**
   * The same, and where it has place, those of other buckets, the one with the oldest first, as long as their padding
   * takes less than a call of their own would.
   */
  #widest(open: readonly Ticket<T>[], first: Ticket<T>): Plan<T> {
    const { limits } = this;
    const plan = this.#plan(open, first);
    if (plan.full !== null || !limits.picks) return plan;
    const members = [...plan.members];
    const most = limits.sizeOf(limits.bucketOf(first.cost));
    const tried = new Set([limits.bucketOf(first.cost)]);
    for (const ticket of open) {
      const bucket = limits.bucketOf(ticket.cost);
      if (tried.has(bucket)) continue;
      tried.add(bucket);
      const others = this.#plan(open, ticket).members;
      const together = costOf([...members, ...others]);
      const isWithin = members.length + others.length <= most && together <= limits.cost;
      if (isWithin && limits.isBetterTogether(costOf(members), costOf(others), together)) members.push(...others);
    }
    return { members, full: null };
  }

  /** The first `count` of what waits, in the order in which their batches would go if all were counted. */
  #inOrderOfBatches(count: number): readonly Ticket<T>[] {
    if (!this.limits.picks) return this.#queue;
    const order = this.#queue.filter(({ group }) => group !== null);
    let open = this.#queue.filter(({ group }) => group === null);
    for (let first = open[0]; first !== undefined && order.length < count; first = open[0]) {
      const planned = new Set(this.#widest(open, first).members);
      order.push(...planned);
      open = open.filter((ticket) => !planned.has(ticket));
    }
    return order;
  }

  #takeOut(isOut: (ticket: Ticket<T>) => boolean): Ticket<T>[] {
    if (!this.#queue.some(isOut)) return [];
    const out = this.#queue.filter(isOut);
    this.#withdraw(out);
    return out;
  }

  #withdraw(members: readonly Ticket<T>[]): void {
    for (const { armed } of members) if (armed) this.#armed -= 1;
    if (members.length === this.#queue.length) {
      this.#queue = [];
      return;
    }
    const taken = new Set(members);
    this.#queue = this.#queue.filter((ticket) => !taken.has(ticket));
  }
}

/** Of the whole batch: all are padded to the largest. */
function costOf(members: readonly Ticket<unknown>[]): number {
  return members.length * Math.max(...members.map(({ cost }) => cost));
}
