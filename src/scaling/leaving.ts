/** Which machine should leave first, the one whose leaving costs least, and when. */
import type { Machines } from "./policy.ts";

export type Leaver = {
  id: string;
  /** Not serving yet, or serving. */
  state: "booting" | "ready";
  rentedAtS: number;
  /** Slot-seconds that what runs on it still needs: it isn't killed, so that much longer it is paid for. */
  runningS: number;
  /** Seconds that it would take to bring back what only it has: set-up of models, weights. */
  bringBackS: number;
  /** Until it has to leave so that it begins no other increment than those that are paid already. */
  paidForS: number;
  pricePerHour: number;
};

/**
 * How long before the end of its increment a machine that runs something should leave, so that it begins no other: when
 * another second of idle slots would cost as much as it saves of an increment times the chance that something still
 * runs. What is left of exponential work is exponential, too. Where an increment is no longer than a boot: 0, since
 * having to order again costs more.
 */
export function leavesAheadS(
  running: number,
  meanWorkS: number,
  { billingS, bootS }: Pick<Machines, "billingS" | "bootS">,
): number {
  if (running === 0 || meanWorkS <= 0 || billingS <= bootS) return 0;
  return Math.max(0, meanWorkS * Math.log((running * billingS) / meanWorkS));
}

/**
 * The first `count` that may leave, the cheapest first. Time that is paid already is used: a machine that is paid for
 * longer than `marginS` (two looks or so) stays until then.
 */
export function leaving(machines: readonly Leaver[], count: number, marginS: number): string[] {
  const booting = machines.filter(({ state }) => state === "booting").toSorted((a, b) => a.rentedAtS - b.rentedAtS);
  // What boots and will be needed stays, or none would ever serve where an increment is as short as a boot.
  const needed = new Set(booting.slice(0, Math.max(0, booting.length - count)));
  const may = machines.filter((machine) => machine.paidForS <= marginS && !needed.has(machine));
  const ordered = may.toSorted(
    (a, b) =>
      stage(a) - stage(b) || costOfLeaving(a) - costOfLeaving(b) || b.rentedAtS - a.rentedAtS || (a.id < b.id ? -1 : 1),
  );
  return ordered.slice(0, Math.max(0, count)).map(({ id }) => id);
}

/** What boots goes before what serves. */
function stage({ state }: Leaver): number {
  return state === "booting" ? 0 : 1;
}

/** Money: for what it runs and what must be brought back elsewhere, less an hour of its rent. */
function costOfLeaving({ runningS, bringBackS, pricePerHour }: Leaver): number {
  return ((runningS + bringBackS) / 3600 - 1) * pricePerHour;
}
