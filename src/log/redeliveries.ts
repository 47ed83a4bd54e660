/**
 * Records of a member that are to be handed out again, because their claim was answered `later`. They hold the committed
 * offset back; a record that was put back too often is let go: a record is only a hint, its shard hands it on again.
 */
import { partitionKey } from "./names.ts";
import type { LogMessage } from "./protocol.ts";

export const MAX_REDELIVERIES = 10;

type Entry = { message: LogMessage; dueAt: number; times: number; out: boolean };

export class Redeliveries {
  readonly #entries = new Map<string, Entry>();

  /** Adds a record, or puts one back that was taken; lets go of one that was put back too often. */
  add(message: LogMessage, dueAt: number): void {
    const key = entryKey(message);
    const times = (this.#entries.get(key)?.times ?? 0) + 1;
    if (times > MAX_REDELIVERIES) {
      this.#entries.delete(key);
      return;
    }
    this.#entries.set(key, { message, dueAt, times, out: false });
  }

  /** Takes records that are due, oldest first. They stay known until `settle` or `add`. */
  take(now: number, limit: number): LogMessage[] {
    const due = [...this.#entries.values()].filter((entry) => !entry.out && entry.dueAt <= now).slice(0, limit);
    for (const entry of due) entry.out = true;
    return due.map((entry) => entry.message);
  }

  /** A record that was taken is done. Answers whether it was one of these. */
  settle(message: LogMessage): boolean {
    return this.#entries.delete(entryKey(message));
  }

  /** When the next record is due; null when none waits. */
  nextDueAt(): number | null {
    let next: number | null = null;
    for (const entry of this.#entries.values()) {
      if (!entry.out) next = Math.min(next ?? entry.dueAt, entry.dueAt);
    }
    return next;
  }

  /** The lowest offset of a partition that is to be handed out again; infinite when there is none. */
  floor(topic: string, partition: number): number {
    let floor = Number.POSITIVE_INFINITY;
    for (const { message } of this.#entries.values()) {
      if (message.topic === topic && message.partition === partition) floor = Math.min(floor, message.offset);
    }
    return floor;
  }

  /** Forgets a partition that the member lost. */
  drop(topic: string, partition: number): void {
    for (const [key, { message }] of this.#entries) {
      if (message.topic === topic && message.partition === partition) this.#entries.delete(key);
    }
  }
}

function entryKey(message: LogMessage): string {
  return `${partitionKey(message.topic, message.partition)}/${message.offset}`;
}
