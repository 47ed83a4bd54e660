/** What an attempt costs by its price. Pure, and exact: integers of nano-units, rounded half up once. */
import { MAX_NANO } from "../contract/price.ts";
import type { Price } from "../contract/price.ts";

export type { Price };

/** `gpuUs`: its share of its devices' busy time. `units`: what its model recorded; may be broken numbers. */
export type Used = {
  device: string;
  gpuUs: number;
  units?: Readonly<Record<string, number>> | undefined;
  billed: boolean;
};

/** Amounts are counted in millionths of a nano-unit, as a microsecond is the millionth of a second. */
const MICRO = 1_000_000;
const MICROS = BigInt(MICRO);
const US_A_MS = 1000;
const ANY_DEVICE = "*";

/** In nano-units, `MAX_NANO` at most; 0 for what isn't billed. What pools report is theirs to say: nothing throws. */
export function costOf(price: Price, { device, gpuUs, units = {}, billed }: Used): number {
  if (!billed) return 0;
  let micros = BigInt(price.perRequest) * MICROS + BigInt(rateOf(price, device)) * wholeOf(gpuUs);
  for (const [unit, nano] of Object.entries(price.perUnit)) {
    const count = units[unit];
    if (count !== undefined) micros += BigInt(nano) * wholeOf(count * MICRO);
  }
  const nano = (micros + MICROS / 2n) / MICROS;
  return Math.max(price.minimum, nano > BigInt(MAX_NANO) ? MAX_NANO : Number(nano));
}

/** Nano-units for a second of the device. */
export function rateOf({ perSecond }: Pick<Price, "perSecond">, device: string): number {
  const named = Object.hasOwn(perSecond, device) ? perSecond[device] : undefined;
  return named ?? perSecond[ANY_DEVICE] ?? 0;
}

/** What a run of so many milliseconds of devices, and of these units, costs on the dearest device. */
export function costOfRun(price: Price, deviceMs: number, units?: Used["units"]): number {
  const dearest = { ...price, perSecond: { [ANY_DEVICE]: dearestRate(price) } };
  return costOf(dearest, { device: ANY_DEVICE, gpuUs: deviceMs * US_A_MS, units, billed: true });
}

export function dearestRate({ perSecond }: Pick<Price, "perSecond">): number {
  return Math.max(0, ...Object.values(perSecond));
}

/** Whether everything is free by it. */
export function isFree({ perSecond, perUnit, perRequest, minimum }: Price): boolean {
  const nothing = [...Object.values(perSecond), ...Object.values(perUnit)].every((nano) => nano === 0);
  return nothing && perRequest === 0 && minimum === 0;
}

/** Infinite is what so many units are in millionths that no number tells them: as many as there are numbers for. */
function wholeOf(value: number): bigint {
  return value > 0 ? BigInt(Math.round(Math.min(value, Number.MAX_VALUE))) : 0n;
}
