/** What a second of a device was last rented for, by hardware class: for those who reckon what its time has cost. */
import * as z from "zod";
import type { Machine } from "./machine.ts";

const S_PER_HOUR = 3600;
/** Classes; of those beyond, the one whose price changed longest ago is forgotten. */
const MAX_CLASSES = 256;

export const LastRentsSchema = z.object({
  currency: z.string(),
  perSecondNano: z.record(z.string(), z.number().int()),
});
export type LastRents = z.output<typeof LastRentsSchema>;

export type Rented = Pick<Machine, "hardware" | "devices" | "pricePerHourNano">;

/** With that machine rented; the same object when nothing changes. */
export function withRented(known: LastRents | null, currency: string, machine: Rented): LastRents {
  const { hardware, devices, pricePerHourNano } = machine;
  const nano = Math.round(pricePerHourNano / S_PER_HOUR / Math.max(1, devices));
  const before = known?.currency === currency ? known : { currency, perSecondNano: {} };
  const rates = new Map(Object.entries(before.perSecondNano));
  if (rates.get(hardware) === nano) return before;
  rates.delete(hardware);
  return { currency, perSecondNano: Object.fromEntries([...[...rates].slice(1 - MAX_CLASSES), [hardware, nano]]) };
}
