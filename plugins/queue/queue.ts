/**
 * Decides who may join a lane: by how many wait, how long it would take, and what the account has there already. The
 * order in the lane, and the shares of accounts, are the lane's own. `Retry-After` is what the lane's own rate says.
 */
import { definePlugin } from "../kernel/define-plugin.ts";
import { proceed } from "../kernel/phases.ts";
import type { AllowanceService } from "../kernel/allowance.ts";
import type { PredictionCall, Verdict } from "../kernel/phases.ts";
import type { LaneOutlook } from "../kernel/services.ts";
import type { Priority } from "../../src/contract/prediction.ts";
import type { ErrorCode } from "../../src/contract/errors.ts";
import { ConfigSchema } from "./config.ts";
import type { Bounds, Plan } from "./config.ts";

/** When nobody knows how fast a lane moves. */
const UNKNOWN_RETRY_MS = 10_000;

type Refused = { code: ErrorCode; message: string; retryAfterMs: number };

export const queue = definePlugin({
  name: "queue",
  apiVersion: 1,
  config: ConfigSchema,
  phases: ["admit"],
  needs: ["lanes", "allowance"],
  // It spares the lanes; what they hold of one account is bounded without it.
  failMode: "open",
  example: { depth: 10_000, maxWaitMs: 600_000, waiting: 1000 },
  setup: ({ config, services: { lanes, allowance } }) => {
    const { plans, refuseLate, ...common } = config;
    const byAccount = new Map(plans.flatMap((plan) => plan.accounts.map((account) => [account, plan] as const)));

    return {
      admit: async (call) => {
        const { accountId, accountName } = call.principal;
        const plan = byAccount.get(accountId) ?? byAccount.get(accountName);
        const subject = withPriority(call, plan);
        const bounds = boundsFor(common, plan, refuseLate ? call.startTimeoutMs : Infinity);
        if (looksAtLane(bounds)) {
          const outlook = await lanes.outlook(subject, (one) => roomIn(one, bounds));
          const refused = refusal(outlook, bounds);
          if (refused !== null) return { verdict: "reject", ...refused };
        }
        return bounds.unfinished === undefined
          ? continueWith(call, subject)
          : holdSlot(allowance, call, subject, bounds.unfinished);
      },
    };
  },
});

function boundsFor(common: Bounds, plan: Plan | undefined, latestMs: number): Bounds {
  const depth = plan?.depth ?? common.depth;
  const waiting = plan?.waiting ?? common.waiting;
  const unfinished = plan?.unfinished ?? common.unfinished;
  const maxWaitMs = Math.min(plan?.maxWaitMs ?? common.maxWaitMs ?? Infinity, latestMs);
  return { depth, waiting, unfinished, maxWaitMs: maxWaitMs === Infinity ? undefined : maxWaitMs };
}

function looksAtLane({ depth, waiting, maxWaitMs }: Bounds): boolean {
  return depth !== undefined || waiting !== undefined || maxWaitMs !== undefined;
}

/** How many more would be let in by this outlook. */
function roomIn(outlook: LaneOutlook, { depth = Infinity, waiting = Infinity, maxWaitMs = Infinity }: Bounds): number {
  const { etaMs, startsPerSecond } = outlook;
  const inTime =
    etaMs === null || maxWaitMs === Infinity ? Infinity : ((maxWaitMs - etaMs) / 1000) * (startsPerSecond ?? 1);
  return Math.min(depth - outlook.waiting, waiting - outlook.ownWaiting, inTime);
}

function refusal(
  outlook: LaneOutlook,
  { depth = Infinity, waiting = Infinity, maxWaitMs = Infinity }: Bounds,
): Refused | null {
  const { etaMs } = outlook;
  if (outlook.ownWaiting >= waiting) {
    const excess = outlook.ownWaiting - waiting + 1;
    // Its own start one after the other, the last of them when one that came now would.
    const retryAfterMs = etaMs === null ? UNKNOWN_RETRY_MS : (etaMs * excess) / (outlook.ownWaiting + 1);
    return {
      code: "queue_full",
      message: `Your account has ${waiting} predictions waiting in this lane, as many as it may.`,
      retryAfterMs,
    };
  }
  if (outlook.waiting >= depth) {
    const retryAfterMs = timeOf(outlook.waiting - depth + 1, outlook);
    return {
      code: "lane_full",
      message: `${outlook.waiting} predictions wait for this model, and ${depth} may.`,
      retryAfterMs,
    };
  }
  if (etaMs === null || etaMs <= maxWaitMs) return null;
  const message = `It would wait for about ${Math.ceil(etaMs / 1000)} s, and ${Math.floor(maxWaitMs / 1000)} s are allowed.`;
  return { code: "wait_too_long", message, retryAfterMs: etaMs - maxWaitMs };
}

/** In what time so many start. */
function timeOf(count: number, { startsPerSecond }: LaneOutlook): number {
  return startsPerSecond === null || startsPerSecond <= 0 ? UNKNOWN_RETRY_MS : (count / startsPerSecond) * 1000;
}

async function holdSlot(
  allowance: AllowanceService,
  call: PredictionCall,
  subject: PredictionCall,
  limit: number,
): Promise<Verdict<PredictionCall>> {
  const { accountId } = call.principal;
  const answer = await allowance.reserve("objects", Date.now() + call.totalTimeoutMs, [
    {
      ...{ subject: `account:${accountId}`, bucket: "queue unfinished", unit: "concurrency", amount: 1 },
      spec: { algorithm: "concurrency", limit },
    },
  ]);
  if (answer.ok) return { ...continueWith(call, subject), reservation: answer.reservation };
  const message = `Your account has ${limit} predictions waiting and running, as many as it may.`;
  return { verdict: "reject", code: "queue_full", message, retryAfterMs: answer.retryAfterMs ?? UNKNOWN_RETRY_MS };
}

function continueWith(call: PredictionCall, subject: PredictionCall) {
  return subject === call ? proceed : { ...proceed, subject };
}

/** What asks for `normal`, or for nothing, gets the plan's priority; a plan of `low` gets none above. */
function withPriority(call: PredictionCall, plan: Plan | undefined): PredictionCall {
  const priority = priorityOf(call.priority, plan?.priority);
  return priority === call.priority ? call : { ...call, priority };
}

function priorityOf(asked: Priority, plan: Priority | undefined): Priority {
  if (plan === undefined || asked === "low" || plan === "normal") return asked;
  return plan;
}
