/** What running a model costs its caller: prices, and the cost of one prediction. */
import * as z from "zod";

/** Money is whole nano-units (10^-9) of a currency; every amount is exact as a number. */
export const MAX_NANO = Number.MAX_SAFE_INTEGER;
export const NanoSchema = z.number().int().min(0).max(MAX_NANO);

export const CurrencySchema = z
  .string()
  .regex(/^[A-Z]{3}$/)
  .meta({ description: "ISO 4217, such as `USD`." });

/**
 * `perSecond`: of a device, by its kind as pools name it; `*` is every other one. `perUnit`: of what the model records
 * in its metrics, such as `output_token_count`. What is billed costs `minimum` at least.
 */
export const PriceSchema = z.object({
  id: z.string(),
  currency: CurrencySchema,
  perSecond: z.record(z.string(), NanoSchema),
  perUnit: z.record(z.string(), NanoSchema),
  perRequest: NanoSchema,
  minimum: NanoSchema,
});
export type Price = z.output<typeof PriceSchema>;

/**
 * What an estimate rests on: `runs`, the time and the units that runs took lately; `run_time`, that time alone, where
 * units have a price and nobody knows how many there will be; `default`, a second and no units, as nobody knows more.
 */
export const estimateBases = ["runs", "run_time", "default"] as const;
export type EstimateBasis = (typeof estimateBases)[number];

/**
 * What a prediction is billed by, fixed when it is accepted. `expectedNano`: what it should cost by what its like took
 * lately, which is known from `basis`. `capNano`: it costs no more than this, which a strict budget has reserved.
 * `devices`: on how many the account's runs of the model were, where that is more than one; of no use once accepted.
 */
export type Pricing = {
  price: Price;
  expectedNano: number;
  capNano?: number;
  devices?: number;
  basis?: EstimateBasis;
};

/** `estimated`: before its end, what its like took lately; or what is still to be confirmed. */
export const CostViewSchema = z
  .object({
    state: z.enum(["estimated", "final"]).meta({ description: "`final` once the prediction has ended." }),
    nano: NanoSchema.meta({ description: "In 10^-9 of the currency." }),
    amount: z.string().meta({ description: "The same, as a decimal number.", examples: ["0.001250000"] }),
    currency: CurrencySchema,
    basis: z.enum(estimateBases).optional().meta({
      description:
        "Of an estimate: by the time and units of `runs` lately; by their `run_time` alone, as units aren't known; by `default`, as nothing is.",
    }),
  })
  .meta({ id: "Cost" });
export type CostView = z.output<typeof CostViewSchema>;

const NANO_DIGITS = 9;

/** The amount in units of the currency: `1250000` is `0.001250000`. */
export function amountOf(nano: number): string {
  const digits = String(Math.abs(nano)).padStart(NANO_DIGITS + 1, "0");
  return `${nano < 0 ? "-" : ""}${digits.slice(0, -NANO_DIGITS)}.${digits.slice(-NANO_DIGITS)}`;
}

/** `costNano` undefined: it isn't known yet. */
export function costView({ price, expectedNano, basis }: Pricing, costNano: number | undefined): CostView {
  const nano = costNano ?? expectedNano;
  const view = { nano, amount: amountOf(nano), currency: price.currency };
  if (costNano !== undefined) return { state: "final", ...view };
  return { state: "estimated", ...view, ...(basis === undefined ? {} : { basis }) };
}
