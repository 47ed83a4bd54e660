/** Which shares of a budget are told, and the message that tells it. Pure. */
import { amountOf } from "../contract/price.ts";
import type { Alert, Bucket } from "./rows.ts";

/** In percent of the limit. At 100 the budget is spent, or has refused a prediction. */
const alertLevels = [50, 80, 100] as const;

/** Those that were not told in this period: that `reached` percent reach, or, once it `refuses`, the last one. */
export function levelsOf({ alerted }: Bucket, reached: number | "refuses"): number[] {
  return alertLevels.filter((level) => level > alerted && (reached === "refuses" ? level === 100 : level <= reached));
}

/** Null: nobody wants to know. */
export function alertOf(name: string, bucket: Bucket, percent: number, refuses: boolean, now: number) {
  const { alert, at, limit, settled } = bucket;
  if (alert === undefined) return null;
  const [, period = "all", currency = ""] = name.split(" ").slice(-3);
  const id = `budget_${alert.of}_${period}_${at}_${percent}`;
  const body = {
    type: "budget.alert",
    budget: alert.of,
    period,
    period_start: at === 0 ? null : new Date(at).toISOString(),
    ...{ percent, refuses, currency },
    ...{ limit_nano: limit, limit: amountOf(limit), spent_nano: settled, spent: amountOf(settled) },
    at: new Date(now).toISOString(),
  };
  const message: Alert = { url: alert.url, account: alert.account, body: JSON.stringify(body), at: now };
  return { id, message };
}
