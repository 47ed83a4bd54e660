/** What a second of a device costs the operator: by the settings, or by what the scaler paid last. Pure. */
import * as z from "zod";
import { hardwareClassOf } from "../registry/devices.ts";
import type { LastRents } from "../scaling/object/last-rents.ts";

/** What a second of a device costs, in nano-units of `currency`. */
export type Rent = { currency: string; perSecondNano: number };
/** The rent of that kind of device; null: none is known. */
export type RentOf = (device: string) => Rent | null;

/** Of the settings, as far as it is needed here. */
export const RentsSchema = z.object({
  currency: z.string(),
  per_second_nano: z.record(z.string(), z.number().int()).default({}),
});
export type Rents = z.output<typeof RentsSchema>;

/** A device's own name comes first, then its hardware class, then what the scaler paid last for the class, then `*`. */
export function rentsOf(settings: Rents | undefined, paid: LastRents | null): RentOf {
  const rates = new Map(Object.entries(settings?.per_second_nano ?? {}));
  const inSettings = (device: string): Rent | null => {
    const perSecondNano = rates.get(device);
    return settings === undefined || perSecondNano === undefined
      ? null
      : { currency: settings.currency, perSecondNano };
  };
  return (device) => {
    const hardware = hardwareClassOf(device);
    const perSecondNano = paid !== null && Object.hasOwn(paid.perSecondNano, hardware) && paid.perSecondNano[hardware];
    const asPaid =
      typeof perSecondNano === "number" && paid !== null ? { currency: paid.currency, perSecondNano } : null;
    return inSettings(device) ?? inSettings(hardware) ?? asPaid ?? inSettings("*");
  };
}

/** A rent as a text that sums are told apart by; empty: none was known. */
export function pinOf(rent: Rent | null): string {
  return rent === null ? "" : `${rent.currency} ${rent.perSecondNano}`;
}

export function rentPinned(pin: string | null): Rent | null {
  const [, currency, perSecondNano] = /^([A-Z]{3}) (\d+)$/.exec(pin ?? "") ?? [];
  return currency === undefined ? null : { currency, perSecondNano: Number(perSecondNano) };
}
