/**
 * What machines have cost, by UTC month and class. Integers of nano-units of one currency. Months are kept apart, so
 * that a clock that shows another month for a while neither empties a cap nor fills another month's.
 */
import * as z from "zod";
import { costNano } from "./machine.ts";
import type { Machine } from "./machine.ts";

const MAX_MONTHS = 14;

/** Of machines that are gone, by month (`2026-11`) and class. The second form is of the release before. */
export const LedgerSchema = z.union([
  z.object({ months: z.record(z.string(), z.record(z.string(), z.number())) }),
  z
    .object({ month: z.string(), endedNano: z.record(z.string(), z.number()) })
    .transform(({ month, endedNano }) => ({ months: { [month]: endedNano } })),
]);
export type Ledger = z.output<typeof LedgerSchema>;

type Store = { read(name: "ledger"): Ledger | null; write(name: "ledger", ledger: Ledger): void };

export class Purse {
  readonly #store: Store;
  #months: Ledger["months"];

  constructor(store: Store) {
    this.#store = store;
    this.#months = store.read("ledger")?.months ?? {};
  }

  /** A machine is gone: each month that it was there in bears its part. */
  ended(machine: Machine, nowMs: number): void {
    if (machine.seenAtMs === null) return;
    const last = monthOf(nowMs);
    let month = monthOf(Math.min(machine.seenAtMs, nowMs));
    let months = this.#months;
    for (; month <= last; month = monthAfter(month)) {
      const of = months[month] ?? {};
      const nano = costInMonth(machine, month, nowMs);
      if (nano > 0) months = { ...months, [month]: { ...of, [machine.hardware]: (of[machine.hardware] ?? 0) + nano } };
    }
    const kept = Object.entries(months).toSorted(([a], [b]) => (a < b ? -1 : 1));
    this.#months = Object.fromEntries(kept.slice(-MAX_MONTHS));
    this.#store.write("ledger", { months: this.#months });
  }

  /** What the class, or all of them, cost in this month so far, running increments included. */
  spentNano(machines: readonly Machine[], nowMs: number, hardware?: string): number {
    const month = monthOf(nowMs);
    const ended = Object.entries(this.#months[month] ?? {})
      .filter(([name]) => hardware === undefined || name === hardware)
      .reduce((sum, [, nano]) => sum + nano, 0);
    return machines
      .filter((machine) => hardware === undefined || machine.hardware === hardware)
      .reduce((sum, machine) => sum + costInMonth(machine, month, nowMs), ended);
  }
}

/** An increment that begins in a month is paid in that month, whole. */
function costInMonth(machine: Machine, month: string, nowMs: number): number {
  const { seenAtMs } = machine;
  if (seenAtMs === null) return 0;
  const [startMs, endMs] = [startOf(month), startOf(monthAfter(month))];
  // The clock was set back since it was seen first: its first increment is paid now.
  const fromMs = Math.min(seenAtMs, nowMs);
  if (fromMs >= endMs) return 0;
  const before = fromMs < startMs ? costNano(machine, startMs) : 0;
  return Math.max(0, costNano(machine, Math.min(nowMs, endMs)) - before);
}

function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7);
}

function startOf(month: string): number {
  return Date.parse(`${month}-01T00:00:00Z`);
}

function monthAfter(month: string): string {
  const date = new Date(startOf(month));
  return monthOf(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1));
}
