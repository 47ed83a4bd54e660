/** Budgets and balances with what was spent of them: what the registry has of them, and what their ledgers count. */
import * as z from "zod";
import { budgetScopes } from "../../plugins/kernel/services.ts";
import { amountOf, CurrencySchema, NanoSchema } from "../contract/price.ts";
import type { Env } from "../env.ts";
import { endOf } from "../ledger/calendar.ts";
import type { LedgerState } from "../ledger/ledger.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { budgetKinds, budgetPeriods, specOf } from "../registry/budgets.ts";
import type { StoredBudget } from "../registry/budgets.ts";

type Ledgers = Pick<Env, "LEDGER">;

/** More than was reserved may have been spent. */
const SignedNanoSchema = z.number().int();

export const BudgetViewSchema = z
  .object({
    scope: z.enum(budgetScopes).meta({ description: "Whose spending it counts; of a `model`, that of all accounts." }),
    of: z.string().meta({ description: "The account's name, the key's id, or `owner/name`." }),
    period: z.enum(budgetPeriods).meta({ description: "Of UTC; `balance`: what the account has paid in." }),
    kind: z.enum(budgetKinds).meta({
      description:
        "`hard` refuses what should cost more than is left; `strict`, what could; `soft` refuses nothing, and only tells.",
    }),
    currency: CurrencySchema,
    limit_nano: SignedNanoSchema.meta({ description: "In 10^-9 of the currency; of a balance, all that was paid in." }),
    spent_nano: SignedNanoSchema.meta({ description: "What predictions have cost that have ended." }),
    reserved_nano: NanoSchema.meta({ description: "What is set aside for those that have not." }),
    left_nano: SignedNanoSchema.meta({ description: "Below 0 where more was spent than reserved." }),
    left: z.string().meta({ description: "The same, as a decimal number." }),
    period_start: z.iso.datetime().nullable(),
    period_end: z.iso.datetime().nullable().meta({ description: "When it begins anew; null: never." }),
    webhook: z.string().nullable().meta({
      description: "Told at 50, 80 and 100 %, each once a period; of a balance, below `alert_below_nano` and at 0.",
    }),
    alert_below_nano: NanoSchema.optional().meta({ description: "Of a balance that has a webhook." }),
  })
  .meta({ id: "Budget" });
export type BudgetView = z.output<typeof BudgetViewSchema>;

/** With one call for each ledger. */
export async function showBudgets(env: Ledgers, budgets: readonly StoredBudget[]): Promise<BudgetView[]> {
  const bySubject = Map.groupBy(budgets, ({ subject }) => subject);
  const views = await Promise.all(
    [...bySubject].map(async ([subject, own]) => {
      const asked = own.map((one) => ({ bucket: one.bucket, spec: specOf(one) }));
      const states = await callObject(async () => objectNamed(env.LEDGER, subject).read(asked));
      return own.flatMap((one, index) => {
        const state = states[index];
        return state === undefined ? [] : [showBudget(one, state)];
      });
    }),
  );
  return views.flat();
}

function showBudget(one: StoredBudget, { settled, reserved, paid, at }: LedgerState): BudgetView {
  const { scope, of, period, kind, currency, webhook } = one;
  const limit = period === "balance" ? paid : one.limitNano;
  const left = limit - settled - reserved;
  const end = period === "balance" ? null : endOf(period, at);
  return {
    ...{ scope, of, period, kind, currency, limit_nano: limit, spent_nano: settled, reserved_nano: reserved },
    ...{ left_nano: left, left: amountOf(left) },
    period_start: at === 0 ? null : new Date(at).toISOString(),
    period_end: end === null ? null : new Date(end).toISOString(),
    webhook,
    ...(period === "balance" && webhook !== null ? { alert_below_nano: one.limitNano } : {}),
  };
}
