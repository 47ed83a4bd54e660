/** The settings of `queue`. */
import * as z from "zod";
import { PrioritySchema } from "../../src/contract/prediction.ts";

const count = z.number().int().min(0).max(1e12);

const bounds = {
  depth: count.meta({ description: "The most that may wait of one model's version, of all accounts." }),
  maxWaitMs: count.meta({ description: "The longest that a prediction may have to wait, as far as can be told." }),
  waiting: count.meta({ description: "The most that one account may have waiting in a lane." }),
  unfinished: count.meta({ description: "The most that one account may have waiting and running, in all lanes." }),
};
const optional = {
  depth: bounds.depth.optional(),
  maxWaitMs: bounds.maxWaitMs.optional(),
  waiting: bounds.waiting.optional(),
  unfinished: bounds.unfinished.optional(),
};
export type Bounds = { [Name in keyof typeof bounds]?: number | undefined };

const PlanSchema = z.strictObject({
  name: z.string().min(1).max(64),
  accounts: z.array(z.string().min(1).max(64)).min(1).max(10_000).meta({ description: "Names or ids." }),
  priority: PrioritySchema.optional().meta({
    description:
      "What its predictions get that ask for `normal`, or for nothing. A plan of `low` gets none above, one of `high` none below unless it asks.",
  }),
  ...optional,
});
export type Plan = z.output<typeof PlanSchema>;

export const ConfigSchema = z.strictObject({
  ...optional,
  refuseLate: z.boolean().default(false).meta({
    description: "Refuses what would wait longer than its own time to start, instead of letting it end as aborted.",
  }),
  plans: z
    .array(PlanSchema)
    .max(100)
    .default([])
    .refine((plans) => {
      const accounts = plans.flatMap((plan) => plan.accounts);
      return new Set(accounts).size === accounts.length;
    }, "an account is in two plans")
    .meta({ description: "Accounts with bounds and a priority of their own; what a plan doesn't say holds for all." }),
});
