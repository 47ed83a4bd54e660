/**
 * Holds predictions to budgets and prepaid balances, which the operator sets by API. What a prediction should cost is
 * reserved of all of them together as it is accepted; its end settles what it did cost, or gives all of it back.
 */
import * as z from "zod";
import { amountOf } from "../../src/contract/price.ts";
import type { Pricing } from "../../src/contract/price.ts";
import { costOfRun, dearestRate } from "../../src/metering/price.ts";
import { definePlugin } from "../kernel/define-plugin.ts";
import type { Charge, MoneySpec } from "../kernel/allowance.ts";
import { proceed } from "../kernel/phases.ts";
import type { PredictionCall, Verdict } from "../kernel/phases.ts";
import type { Budget } from "../kernel/services.ts";

const ConfigSchema = z.strictObject({
  strict_balance: z.boolean().default(false).meta({
    description: "Of prepaid balances, what a prediction can cost at the most is reserved, so that none goes below 0.",
  }),
});

export const budget = definePlugin({
  name: "budget",
  apiVersion: 1,
  config: ConfigSchema,
  phases: ["admit"],
  needs: ["budgets", "allowance"],
  example: { strict_balance: true },
  setup: ({ config, services: { budgets, allowance } }) => ({
    admit: async (call) => {
      const { pricing, principal, model, totalTimeoutMs } = call;
      if (pricing === undefined) return proceed;
      const known = await budgets.of(principal, `${model.owner}/${model.name}`);
      if (known.length === 0) return proceed;
      const foreign = known.find(({ currency, isSoft }) => currency !== pricing.price.currency && !isSoft);
      if (foreign !== undefined) return refuseForeign(foreign, pricing);
      const own = known
        .filter(({ currency }) => currency === pricing.price.currency)
        .map((one) => (one.period === "balance" ? { ...one, isStrict: config.strict_balance } : one));
      if (own.length === 0) return proceed;
      const strict = own.find(({ isStrict }) => isStrict);
      if (strict !== undefined && isByUnitsAlone(pricing)) return refuseUnbounded(strict);
      const capNano = strict === undefined ? null : mostOf(call, pricing);
      const charges = own.map((one) => chargeOf(one, pricing, capNano));
      const answer = await allowance.reserve("ledger", Date.now() + totalTimeoutMs, charges);
      if (!answer.ok) return refuse(own[answer.by], charges[answer.by], answer);
      const { reservation } = answer;
      const capped = capNano === null ? {} : { subject: { ...call, pricing: { ...pricing, capNano } } };
      return { verdict: "continue", reservation, ...capped };
    },
  }),
});

/** What it can cost at the most: one run that takes all of its time, on all its devices. It is billed no more. */
function mostOf({ runLimitMs = Infinity, totalTimeoutMs }: PredictionCall, { price, devices = 1 }: Pricing): number {
  return costOfRun(price, Math.min(runLimitMs, totalTimeoutMs) * devices);
}

/** Of such a price, the most that a run can cost would leave out all that it is billed for. */
function isByUnitsAlone({ price }: Pricing): boolean {
  return dearestRate(price) === 0 && Object.values(price.perUnit).some((nano) => nano > 0);
}

function chargeOf(one: Budget, { expectedNano }: Pricing, capNano: number | null): Charge {
  const { subject, bucket, isStrict } = one;
  const expected = Math.min(expectedNano, capNano ?? expectedNano);
  const amount = isStrict && capNano !== null ? capNano : expected;
  return { subject, bucket, unit: "money", spec: specOf(one), amount, held: true };
}

function specOf({ period, limitNano, isSoft, alert, isQuiet }: Budget): MoneySpec {
  const told = isQuiet === true ? { quiet: isQuiet } : alert === null ? {} : { alert };
  if (period === "balance") return { algorithm: "balance", limit: 0, ...told };
  return { algorithm: "calendar", limit: limitNano, period, ...(isSoft ? { soft: true } : {}), ...told };
}

type Refused = { retryAfterMs: number | null; by: number; states: readonly { remaining: number }[] };

function refuse(
  one: Budget | undefined,
  charge: Charge | undefined,
  { retryAfterMs, by, states }: Refused,
): Verdict<PredictionCall> {
  if (one === undefined || charge === undefined) throw new Error("a budget refused that was not asked");
  const { currency, period } = one;
  const left = `${amountOf(states[by]?.remaining ?? 0)} ${currency}`;
  const needs = `the prediction should cost ${amountOf(charge.amount)} ${currency}`;
  if (period === "balance") {
    const message = `The balance of the account has ${left} left, and ${needs}: pay in first.`;
    return { verdict: "reject", code: "balance_empty", message };
  }
  // What others spent on a model is nobody's to know.
  if (one.scope === "model") return spent(`The budget of ${nameOf(one)} has too little left.`, retryAfterMs);
  const limit = `${amountOf(one.limitNano)} ${currency} ${period === "all" ? "in all" : `a ${period}`}`;
  const message = `The budget of ${nameOf(one)}, ${limit}, has ${left} left, and ${needs}.`;
  return spent(message, retryAfterMs);
}

function spent(message: string, retryAfterMs: number | null): Verdict<PredictionCall> {
  return { verdict: "reject", code: "budget_spent", message, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
}

function refuseForeign(one: Budget, { price }: Pricing): Verdict<PredictionCall> {
  const message = `The budget of ${nameOf(one)} is in ${one.currency}, and the model's price in ${price.currency}.`;
  return { verdict: "reject", code: "budget_currency", message };
}

function refuseUnbounded(one: Budget): Verdict<PredictionCall> {
  const message = `The ${one.period === "balance" ? "balance" : "budget"} of ${nameOf(one)} is strict, and the model is priced by units alone: nobody knows before what a run can cost.`;
  return { verdict: "reject", code: "budget_unbounded", message };
}

function nameOf({ scope, of }: Budget): string {
  return `the ${scope} ${of}`;
}
