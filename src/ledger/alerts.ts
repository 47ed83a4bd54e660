/** What of a budget, and of a balance, is told, and the message that tells it. Pure. */
import { amountOf } from "../contract/price.ts";
import type { Alert, Bucket } from "./rows.ts";

/** Of a budget, in percent of its limit. At 100 it is spent, or has refused a prediction. */
const shares = [50, 80, 100] as const;
/** Of a balance: less is left than the operator named; nothing is left, or it has refused a prediction. */
const LOW = 1;
const EMPTY = 2;

/** Those that were reached and not told yet; once it `refuses`, the last one. */
export function levelsOf(bucket: Bucket, refuses: boolean): number[] {
  const { alert, alerted, settled, limit } = bucket;
  if (alert?.belowNano !== undefined) {
    const level = refuses ? EMPTY : balanceLevel(bucket);
    return level > alerted ? [level] : [];
  }
  const reached = limit > 0 ? (settled * 100) / limit : 0;
  return shares.filter((level) => level > alerted && (refuses ? level === 100 : level <= reached));
}

/** Of a balance that was paid into: what it is above again is told again when it is reached. */
export function toldAfterPayment(bucket: Bucket): number {
  return Math.min(bucket.alerted, balanceLevel(bucket));
}

function balanceLevel({ alert, paid, settled }: Bucket): number {
  const left = paid - settled;
  if (left <= 0) return EMPTY;
  return left < (alert?.belowNano ?? 0) ? LOW : 0;
}

/** Null: nobody wants to know. */
export function alertOf(name: string, bucket: Bucket, level: number, refuses: boolean, now: number) {
  const { alert } = bucket;
  if (alert === undefined) return null;
  const [, period = "all", currency = ""] = name.split(" ").slice(-3);
  const isBalance = alert.belowNano !== undefined;
  // With the time: an alert of a budget that is set again is another one, and receivers drop ids that they know.
  const id = isBalance
    ? `balance_${alert.of}_${level === EMPTY ? "empty" : "low"}_${now}`
    : `budget_${alert.of}_${period}_${level}_${now}`;
  const told = isBalance ? balanceAlert(bucket, level) : budgetAlert(bucket, level, period);
  const body = { ...told, refuses, currency, at: new Date(now).toISOString() };
  const message: Alert = { url: alert.url, account: alert.account, body: JSON.stringify(body), at: now };
  return { id, message };
}

function budgetAlert({ alert, at, limit, settled }: Bucket, percent: number, period: string) {
  return {
    ...{ type: "budget.alert", budget: alert?.of, period },
    period_start: at === 0 ? null : new Date(at).toISOString(),
    ...{ percent, limit_nano: limit, limit: amountOf(limit), spent_nano: settled, spent: amountOf(settled) },
  };
}

function balanceAlert({ alert, paid, settled }: Bucket, level: number) {
  const [left, below] = [paid - settled, alert?.belowNano ?? 0];
  return {
    ...{ type: "balance.alert", balance: alert?.of, level: level === EMPTY ? "empty" : "low" },
    ...{ left_nano: left, left: amountOf(left), below_nano: below, below: amountOf(below) },
  };
}
