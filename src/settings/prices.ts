/** Prices in the settings: one for all models, others for some, and which of them a model has. */
import * as z from "zod";
import { CurrencySchema, NanoSchema } from "../contract/price.ts";
import type { Price } from "../contract/price.ts";

const MAX_RATES = 64;

const rates = (key: z.ZodString, what: string) =>
  z
    .record(key, NanoSchema)
    .refine((own) => Object.keys(own).length <= MAX_RATES, `at most ${MAX_RATES}`)
    .default({})
    .meta({ description: what });

/** All amounts in 10^-9 of the currency. */
const ModelPriceSchema = z
  .strictObject({
    per_second_nano: rates(
      z.string().min(1).max(128),
      "For a second of a device, by its kind as pools name it (`cpu`, `NVIDIA H200`); `*`: of any other.",
    ),
    per_unit_nano: rates(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/, "the name of a metric"),
      "For each unit that the model records, such as `output_token_count`.",
    ),
    per_request_nano: NanoSchema.default(0).meta({ description: "For each prediction that is billed." }),
    minimum_nano: NanoSchema.default(0).meta({ description: "What a prediction that is billed costs at least." }),
  })
  .meta({ id: "ModelPrice" });
type ModelPrice = z.output<typeof ModelPriceSchema>;

export const PricesSchema = z
  .strictObject({
    currency: CurrencySchema,
    default: ModelPriceSchema.optional().meta({ description: "Of every model that has no price of its own." }),
    models: z
      .record(z.string().regex(/^[^/\s]{1,128}\/[^/\s]{1,128}$/, "owner/name"), ModelPriceSchema)
      .default({})
      .meta({ description: "By `owner/name`; whole, in place of the default." }),
  })
  .meta({ id: "Prices" });
export type Prices = z.output<typeof PricesSchema>;

export const RentsSchema = z
  .strictObject({
    currency: CurrencySchema,
    per_second_nano: rates(
      z.string().min(1).max(128),
      "For a second of a device, by its kind as pools name it, or by its hardware class; `*`: of any other.",
    ),
  })
  .meta({ id: "Rents" });
export type Rents = z.output<typeof RentsSchema>;

/** The price of a model (`owner/name`) by settings of that number; null: it has none, and nothing is charged. */
export function priceIn(number: number, prices: Prices | undefined, model: string): Price | null {
  if (prices === undefined) return null;
  const own = Object.hasOwn(prices.models, model) ? prices.models[model] : undefined;
  if (own !== undefined) return toPrice(`${number}:${model}`, prices.currency, own);
  return prices.default === undefined ? null : toPrice(`${number}:*`, prices.currency, prices.default);
}

function toPrice(id: string, currency: string, price: ModelPrice): Price {
  return {
    ...{ id, currency },
    perSecond: price.per_second_nano,
    perUnit: price.per_unit_nano,
    perRequest: price.per_request_nano,
    minimum: price.minimum_nano,
  };
}
