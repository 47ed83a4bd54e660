/** What a prediction costs its account: expected until its end, then by what its last attempt took. Pure. */
import { MAX_NANO } from "../contract/price.ts";
import { endingOf, isBilled } from "../metering/billed.ts";
import { costOf } from "../metering/price.ts";
import { isFinished } from "./row.ts";
import type { Row } from "./row.ts";
import { awaitsUsage, estimateOf, GRACE_MS } from "./usage.ts";
import type { UsageEntry } from "./usage.ts";

/** Notes what an ended prediction costs, once that is known; the caller stores the row. */
export function noteCost(row: Row): void {
  if (row.fixed.pricing === undefined || !isFinished(row.state) || awaitsUsage(row)) return;
  // Entries go as they are handed on: then the cost is known already.
  const entry = row.usage?.findLast(({ attempt }) => attempt === row.attempt);
  if (entry !== undefined) row.costNano = costOfAttempt(row, entry);
  else row.costNano ??= 0;
}

/** Whether what it costs was estimated, and its pool may still tell what it took. */
export function costMayChange(row: Row): boolean {
  const estimated = estimateOf(row, row.attempt);
  return estimated !== undefined && isBilledAttempt(row, { attempt: row.attempt, outcome: estimated.outcome });
}

/** Of one attempt, in nano-units; of a correction, all that it costs now. 0 where it isn't billed. */
export function costOfAttempt(row: Row, measured: Measured): number {
  const { pricing } = row.fixed;
  if (pricing === undefined) return 0;
  const { device, units } = measured;
  const gpuUs = Math.min(measured.gpuUs, mostUs(row, measured));
  const cost = costOf(pricing.price, { device, gpuUs, units, billed: isBilledAttempt(row, measured) });
  return Math.min(cost, pricing.capNano === undefined ? MAX_NANO : strictlyMost(row, measured, pricing.capNano));
}
type Measured = Pick<UsageEntry, "attempt" | "outcome" | "device" | "devices" | "gpuUs" | "units" | "replaces">;

/** Where an estimate was billed, the rest of what a strict budget had reserved is others' to spend. */
function strictlyMost(row: Row, { attempt, replaces }: Measured, capNano: number): number {
  if (replaces === undefined || !isBilledAttempt(row, { attempt, outcome: replaces.outcome })) return capNano;
  return costOfAttempt(row, { ...replaces, attempt });
}

/** Nobody pays for what a run went on for behind its prediction's end, which a pool may tell of much later. */
function mostUs({ startedAt, createdAt, completedAt }: Row, { devices = 1 }: Pick<UsageEntry, "devices">): number {
  return completedAt === null ? Infinity : (completedAt - (startedAt ?? createdAt) + GRACE_MS) * 1000 * devices;
}

/**
 * Whether an attempt is billed: the last one alone, where it ended with its prediction. One that was handed back, or
 * lost, before its prediction ended isn't, however that ended.
 */
export function isBilledAttempt(row: Row, { attempt, outcome }: Pick<UsageEntry, "attempt" | "outcome">): boolean {
  switch (outcome) {
    case "lost":
    case "bisected":
    case "superseded":
      return isBilled(outcome);
    case "stopped":
      return isBilled("released");
    default: {
      const [errorCode, isQuestion] = [row.error?.code ?? null, row.fixed.question !== undefined];
      return isBilled(endingOf({ status: outcome, errorCode, attempt, ran: attempt > 0, isQuestion }));
    }
  }
}
