/** Simulated time: what is planned happens in order, each thing at its time, until nothing is planned any more. */
import type { Clock } from "../../scheduling/clock.ts";

export type Timeline = { clock: Clock; at(atMs: number, run: () => void): void; run(): void };

type Planned = { atMs: number; order: number; run: () => void };

/** A binary heap, so that simulations of days stay short. */
export function createTimeline(): Timeline {
  const heap: Planned[] = [];
  let nowMs = 0;
  let order = 0;
  const comesFirst = (one: Planned, other: Planned): boolean =>
    one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
  const swap = (one: number, other: number): void => {
    const [a, b] = [heap[one], heap[other]];
    if (a !== undefined && b !== undefined) [heap[one], heap[other]] = [b, a];
  };
  const isBefore = (one: number, other: number): boolean => {
    const [a, b] = [heap[one], heap[other]];
    return a !== undefined && b !== undefined && comesFirst(a, b);
  };
  const at = (atMs: number, run: () => void): void => {
    order += 1;
    let place = heap.push({ atMs: Math.max(atMs, nowMs), order, run }) - 1;
    for (let above = (place - 1) >> 1; place > 0 && isBefore(place, above); above = (place - 1) >> 1) {
      swap(place, above);
      place = above;
    }
  };
  const next = (): Planned | undefined => {
    swap(0, heap.length - 1);
    const first = heap.pop();
    for (let place = 0; ;) {
      const left = 2 * place + 1;
      const least = isBefore(left + 1, left) ? left + 1 : left;
      if (!isBefore(least, place)) return first;
      swap(place, least);
      place = least;
    }
  };
  return {
    at,
    clock: {
      nowMs: () => nowMs,
      after(delayMs, run) {
        let isOff = false;
        at(nowMs + delayMs, () => (isOff ? undefined : run()));
        return () => (isOff = true);
      },
    },
    run() {
      for (let due = next(); due !== undefined; due = next()) {
        nowMs = due.atMs;
        due.run();
      }
    },
  };
}
