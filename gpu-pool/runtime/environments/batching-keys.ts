/** Keys of the section `edgeplane` that say what predictions cost, and which of them run together. */
import * as z from "zod";
import { parseCost } from "../../scheduling/batching/cost-expression.ts";

export const CostSchema = z.string().transform((text, context) => {
  try {
    return parseCost(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
});

const MEANT = 'must be "powers-of-two", or 1 to 64 numbers above 0 in rising order';

/** Upper bounds of the buckets. */
export const BucketsSchema = z.union(
  [
    z.literal("powers-of-two"),
    z
      .array(z.number().positive())
      .min(1)
      .max(64)
      .refine((bounds) => bounds.every((bound, index) => index === 0 || bound > (bounds[index - 1] ?? 0)), MEANT),
  ],
  { error: MEANT },
);
