/** What a prediction costs its account: expected until its end, then by what its last attempt took. Pure. */
import { amountOf, MAX_NANO } from "../contract/price.ts";
import type { CostView } from "../contract/price.ts";
import type { AttemptUsage } from "../contract/usage.ts";
import { endingOf, isBilled } from "../metering/billed.ts";
import { costOf } from "../metering/price.ts";
import type { Row } from "./row.ts";

const US_A_SECOND = 1_000_000;
/** Where no report says which kind it was: the price of any other device holds. */
const UNKNOWN_DEVICE = "unknown";

type Billed = Pick<Row, "fixed" | "state" | "error" | "attempt" | "startedAt" | "metrics">;

/** In nano-units; 0 where it has no price, or isn't billed. */
export function costOfRow(row: Billed): number {
  const { pricing } = row.fixed;
  if (pricing === undefined) return 0;
  const { state, error, attempt, startedAt, fixed } = row;
  if (state === "waiting" || state === "granted" || state === "running") return pricing.expectedNano;
  const ending = endingOf({
    ...{ status: state, errorCode: error?.code ?? null, attempt, ran: startedAt !== null },
    isQuestion: fixed.question !== undefined,
  });
  const cost = costOf(pricing.price, { ...usageOf(row), billed: isBilled(ending) });
  return Math.min(cost, pricing.capNano ?? MAX_NANO);
}

/** For the prediction's snapshot; nothing where it has no price. */
export function shownCost(row: Billed): { cost?: CostView } {
  const { pricing } = row.fixed;
  if (pricing === undefined) return {};
  const isUnfinished = row.state === "waiting" || row.state === "granted" || row.state === "running";
  const nano = costOfRow(row);
  const { currency } = pricing.price;
  return { cost: { state: isUnfinished ? "estimated" : "final", nano, amount: amountOf(nano), currency } };
}

/** A pool of an earlier release tells how long it ran, and no more. */
function usageOf({ metrics }: Billed): Pick<AttemptUsage, "device" | "gpuUs" | "units"> {
  const units = Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
  const gpuUs = Math.round(Math.max(0, units["predict_time"] ?? 0) * US_A_SECOND);
  return { device: UNKNOWN_DEVICE, gpuUs, units };
}
