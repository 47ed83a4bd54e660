/** A policy's memory as a row has it. What this code can't read is as if nothing had been learned. */
import * as z from "zod";
import { MAX_DAYS } from "../day-history.ts";
import { BINS } from "../day-profile.ts";
import { MAX_STORED_ARRIVALS, MAX_STORED_WORKS } from "../memory.ts";
import type { Memory } from "../memory.ts";

const amount = z.number().min(0);
const count = z.int().min(0);
const bin = z
  .int()
  .min(0)
  .max(BINS - 1);

export const MemorySchema: z.ZodType<Memory> = z.object({
  v: z.literal(1),
  targetS: amount,
  kind: z.object({ bootS: amount, slots: z.number().positive(), billingS: amount, lossPerHour: amount }),
  meanWorkS: amount,
  knobs: z.object({
    backlogS: amount,
    keepS: amount,
    windowS: amount,
    deviations: z.number(),
    looksAhead: z.boolean(),
    keepsBusy: z.boolean(),
    dayShare: amount,
    // Rows of earlier releases lack it.
    holdS: amount.default(0),
  }),
  arrivals: z.array(count).max(MAX_STORED_ARRIVALS),
  works: z.array(amount).max(MAX_STORED_WORKS),
  days: z.array(z.tuple([z.int(), z.array(bin).max(BINS)])).max(MAX_DAYS),
  started: count,
  late: count,
  turn: count,
  untilTuning: count,
});
