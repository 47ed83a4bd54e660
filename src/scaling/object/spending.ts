/** What machines have cost in the present UTC month, in all and by class. Integers of nano-units of one currency. */
import * as z from "zod";
import { costNano } from "./machine.ts";
import type { Machine } from "./machine.ts";

export const LedgerSchema = z.object({
  /** `2026-11`. */
  month: z.string(),
  /** Of machines that are gone, by class. */
  endedNano: z.record(z.string(), z.number()),
});
export type Ledger = z.output<typeof LedgerSchema>;

export function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7);
}

/** A machine of the class is gone, and cost so much in this month. */
export function withEnded(ledger: Ledger, hardware: string, nano: number): Ledger {
  const before = ledger.endedNano[hardware] ?? 0;
  return { ...ledger, endedNano: { ...ledger.endedNano, [hardware]: before + Math.max(0, nano) } };
}

/** What the class, or all of them, cost in this month so far, running increments included. */
export function spentNano(ledger: Ledger, machines: readonly Machine[], nowMs: number, hardware?: string): number {
  const ended = Object.entries(ledger.endedNano)
    .filter(([name]) => hardware === undefined || name === hardware)
    .reduce((sum, [, nano]) => sum + nano, 0);
  return machines
    .filter((machine) => hardware === undefined || machine.hardware === hardware)
    .reduce((sum, machine) => sum + Math.max(0, costNano(machine, nowMs) - machine.bookedNano), ended);
}
