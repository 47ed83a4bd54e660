/** Which machine should leave first: the one whose leaving costs least. */

export type Leaver = {
  id: string;
  /** Not serving yet, or serving. */
  state: "booting" | "ready";
  rentedAtS: number;
  /** Slot-seconds that what runs on it still needs: it isn't killed, so that much longer it is paid for. */
  runningS: number;
  /** Seconds that it would take to bring back what only it has: set-up of models, weights. */
  bringBackS: number;
  /** Until the increment ends that is paid already. */
  paidForS: number;
  pricePerHour: number;
};

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
