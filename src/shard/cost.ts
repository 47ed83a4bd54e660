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

type Billed = Pick<Row, "fixed" | "state" | "error" | "attempt" | "startedAt" | "metrics" | "usage">;
type Used = Pick<AttemptUsage, "device" | "gpuUs" | "units">;

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
  return costOfUsage(row, usageOf(row), isBilled(ending));
}

/** What this usage of one of its attempts costs, in nano-units. */
export function costOfUsage({ fixed: { pricing } }: Pick<Row, "fixed">, used: Used, billed: boolean): number {
  if (pricing === undefined) return 0;
  const { device, gpuUs, units } = used;
  return Math.min(costOf(pricing.price, { device, gpuUs, units, billed }), pricing.capNano ?? MAX_NANO);
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

/** What its last attempt took. A pool of an earlier release tells how long it ran, and no more. */
function usageOf({ metrics, usage, attempt }: Billed): Used {
  const told = usage?.findLast((entry) => entry.attempt === attempt);
  if (told !== undefined && told.device !== UNKNOWN_DEVICE) return told;
  const units = Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
  const gpuUs = Math.round(Math.max(0, units["predict_time"] ?? 0) * US_A_SECOND);
  return { device: UNKNOWN_DEVICE, gpuUs, units };
}
