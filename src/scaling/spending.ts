/** How many machines a spending cap leaves room for. Money is integers of nano-units. */

export type Spending = {
  /** This period's cap; null: none. */
  capNano: number | null;
  /** Paid or owed in it so far, running increments included. */
  spentNano: number;
};

/** Machines at `pricePerHourNano` that can all be paid for `aheadS` more; the closer to the cap, the fewer. */
export function affordable({ capNano, spentNano }: Spending, pricePerHourNano: number, aheadS: number): number {
  if (capNano === null) return Infinity;
  const leftNano = capNano - spentNano;
  if (leftNano <= 0) return 0;
  const eachNano = (pricePerHourNano * aheadS) / 3600;
  return eachNano <= 0 ? Infinity : Math.floor(leftNano / eachNano);
}
