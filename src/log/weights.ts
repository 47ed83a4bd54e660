/**
 * Drains sources of three priorities by weight, without ever starving one: smooth weighted round robin. Of ten records
 * that all priorities could give, six are high, three normal and one low; a priority that has nothing costs nothing.
 */
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";

export const weights: Readonly<Record<Priority, number>> = { high: 6, normal: 3, low: 1 };

/** Something that yields items in order. `peek` is undefined when it has none. */
export type Source<T> = { priority: Priority; peek(): T | undefined; advance(): void };

export type Credits = Record<Priority, number>;

export function newCredits(): Credits {
  return { high: 0, normal: 0, low: 0 };
}

/** The priority whose turn it is among `available`, which must not be empty; `credits` remembers across calls. */
export function nextPriority(credits: Credits, available: readonly Priority[]): Priority {
  let total = 0;
  let chosen: Priority = available[0] ?? "normal";
  for (const priority of available) {
    credits[priority] += weights[priority];
    total += weights[priority];
    if (credits[priority] > credits[chosen]) chosen = priority;
  }
  credits[chosen] -= total;
  return chosen;
}

/**
 * Takes up to `limit` items from `sources` while `accept` lets the next one in. Sources of one priority take turns,
 * beginning at `start` so that the first of them isn't always served first.
 */
export function drainByWeight<T>(
  sources: readonly Source<T>[],
  credits: Credits,
  limit: number,
  start: number,
  accept: (item: T) => boolean,
): T[] {
  const queues = new Map<Priority, Source<T>[]>();
  for (const priority of priorities) {
    const queue = sources.filter((source) => source.priority === priority && source.peek() !== undefined);
    const turn = queue.length === 0 ? 0 : start % queue.length;
    if (queue.length > 0) queues.set(priority, [...queue.slice(turn), ...queue.slice(0, turn)]);
  }
  const taken: T[] = [];
  while (taken.length < limit && queues.size > 0) {
    const priority = nextPriority(credits, [...queues.keys()]);
    const queue = queues.get(priority) ?? [];
    const source = queue.shift();
    const item = source?.peek();
    if (source === undefined || item === undefined || !accept(item)) break;
    source.advance();
    taken.push(item);
    if (source.peek() !== undefined) queue.push(source);
    else if (queue.length === 0) queues.delete(priority);
  }
  return taken;
}
