/** What a prediction is billed by, in few characters: every row of a model that has a price carries it. */
import { estimateBases } from "../contract/price.ts";
import type { Pricing } from "../contract/price.ts";

export type PackedPricing = [
  id: string,
  currency: string,
  perSecond: Record<string, number>,
  perUnit: Record<string, number>,
  perRequest: number,
  minimum: number,
  expectedNano: number,
  capNano?: number | null,
  basis?: number,
];

export function packPricing({ price, expectedNano, capNano, basis }: Pricing): PackedPricing {
  const { id, currency, perSecond, perUnit, perRequest, minimum } = price;
  const packed: PackedPricing = [id, currency, perSecond, perUnit, perRequest, minimum, expectedNano];
  if (capNano !== undefined || basis !== undefined) packed.push(capNano ?? null);
  if (basis !== undefined) packed.push(estimateBases.indexOf(basis));
  return packed;
}

export function unpackPricing(packed: PackedPricing): Pricing {
  const [id, currency, perSecond, perUnit, perRequest, minimum, expectedNano, capNano, basisIndex] = packed;
  const price = { id, currency, perSecond, perUnit, perRequest, minimum };
  const basis = basisIndex === undefined ? undefined : estimateBases[basisIndex];
  const cap = capNano === undefined || capNano === null ? {} : { capNano };
  return { price, expectedNano, ...cap, ...(basis === undefined ? {} : { basis }) };
}
