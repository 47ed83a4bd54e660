/** What a prediction is billed by, in few characters: every row of a model that has a price carries it. */
import type { Pricing } from "../contract/price.ts";

export type PackedPricing = [
  id: string,
  currency: string,
  perSecond: Record<string, number>,
  perUnit: Record<string, number>,
  perRequest: number,
  minimum: number,
  expectedNano: number,
  capNano?: number,
];

export function packPricing({ price, expectedNano, capNano }: Pricing): PackedPricing {
  const { id, currency, perSecond, perUnit, perRequest, minimum } = price;
  const packed: PackedPricing = [id, currency, perSecond, perUnit, perRequest, minimum, expectedNano];
  if (capNano !== undefined) packed.push(capNano);
  return packed;
}

export function unpackPricing(packed: PackedPricing): Pricing {
  const [id, currency, perSecond, perUnit, perRequest, minimum, expectedNano, capNano] = packed;
  const price = { id, currency, perSecond, perUnit, perRequest, minimum };
  return { price, expectedNano, ...(capNano === undefined ? {} : { capNano }) };
}
