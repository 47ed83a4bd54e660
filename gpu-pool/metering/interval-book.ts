/**
 * Intervals on their way to the edge. They get their numbers, without gaps, when they are first sent; until then
 * neighbours of a kind may become one, so that an edge that is away for a day costs no memory.
 *
 *   add ──▶ unsent (merged where they join, or are too many) ── sent ──▶ numbered ── taken ──▶ gone
 */
import type { Interval } from "./instance-meter.ts";

/** Sent in one call. */
const MAX_SENT = 200;
/** Kept unsent; beyond that, intervals of a kind become one. */
const MAX_UNSENT = 2000;

export type Numbered = { from: number; intervals: readonly Interval[] };
/** What a later life of the pool needs to go on. */
export type BookState = Numbered & { unsent: readonly Interval[] };

export class IntervalBook {
  #from = 0;
  /** Sent, and not known to be taken. */
  #sent: readonly Interval[] = [];
  #unsent: Interval[] = [];

  constructor(state?: BookState) {
    if (state === undefined) return;
    this.#from = state.from;
    this.#sent = state.intervals;
    this.#unsent = [...state.unsent];
  }

  get size(): number {
    return this.#sent.length + this.#unsent.length;
  }

  get state(): BookState {
    return { from: this.#from, intervals: this.#sent, unsent: this.#unsent };
  }

  /** Those that go on where one of their kind ended become one with it, in the same period (`periodOf` their ends). */
  add(intervals: readonly Interval[], periodOf: (ms: number) => number = () => 0): void {
    for (const interval of intervals) {
      const { fromMs, toMs } = interval;
      const at = this.#unsent.findLastIndex((one) => one.toMs === fromMs && kindOf(one) === kindOf(interval));
      const before = this.#unsent[at];
      if (before === undefined || periodOf(before.toMs) !== periodOf(toMs)) this.#unsent.push(interval);
      else this.#unsent[at] = joined(before, interval);
    }
    if (this.#unsent.length > MAX_UNSENT) this.#unsent = merged(this.#unsent);
  }

  /** What is to be sent next, the same again until it is taken; null: nothing. */
  next(): Numbered | null {
    if (this.#sent.length === 0) this.#sent = this.#unsent.splice(0, MAX_SENT);
    return this.#sent.length === 0 ? null : { from: this.#from, intervals: this.#sent };
  }

  /** What was sent is taken, or nobody wants it. */
  settle(): void {
    this.#from += this.#sent.length;
    this.#sent = [];
  }
}

/** One interval for all of a kind, from the first one's begin to the last one's end. */
function merged(intervals: readonly Interval[]): Interval[] {
  const kinds = new Map<string, Interval>();
  for (const interval of intervals) {
    const kind = kindOf(interval);
    const known = kinds.get(kind);
    kinds.set(kind, known === undefined ? interval : joined(known, interval));
  }
  return [...kinds.values()];
}

function joined(one: Interval, other: Interval): Interval {
  const fromMs = Math.min(one.fromMs, other.fromMs);
  return { ...one, fromMs, toMs: Math.max(one.toMs, other.toMs), gpuUs: one.gpuUs + other.gpuUs };
}

function kindOf({ instance, model, device, phase }: Interval): string {
  return JSON.stringify([instance, model, device, phase]);
}
