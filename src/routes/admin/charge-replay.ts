/** What a replay costs: it is accepted anew, at the price and under the budgets that hold now. */
import type { PredictionCall } from "../../../plugins/kernel/phases.ts";
import { scopes } from "../../../plugins/kernel/phases.ts";
import { modelPath } from "../../contract/manifest.ts";
import { priorities } from "../../contract/prediction.ts";
import { newTrail, runPhase } from "../../pipeline/run-phase.ts";
import { findAccount } from "../../registry/accounts.ts";
import type { ChargeReplay } from "../../shard/replay.ts";
import type { AppContext } from "../app.ts";
import { settingsOf } from "../request-settings.ts";
import { pricingOf } from "../replicate/priced-call.ts";
import { giveBack } from "../replicate/screen-call.ts";

/** The other plugins had their say of it when its client sent it. */
const CHARGING = "budget";

/** Throws what a budget refuses with. */
export function chargesReplays(c: AppContext): ChargeReplay {
  return async (id, submission) => {
    const nothing = { submission: {}, undo: () => {} };
    const snapshot = await settingsOf(c);
    const { accountId, lane, priority, model, weight } = submission;
    const pricing = await pricingOf(c.env, snapshot, { accountId, lane, priority, model });
    if (pricing === null) return nothing;
    const all = await snapshot.of(accountId, modelPath(model));
    const hooks = { ...all, hooks: { ...all.hooks, admit: all.hooks.admit.filter((one) => one.plugin === CHARGING) } };
    const { credentialId = "", startTimeoutMs, totalTimeoutMs, runLimitMs } = submission;
    const { name: accountName = "", retentionMs = 0 } = (await findAccount(c.env.DB, accountId)) ?? {};
    const [maxPriority] = priorities;
    const call: PredictionCall = {
      ...{ requestId: c.get("requestId"), predictionId: id, clientIp: null, model, lane, priority },
      principal: { accountId, accountName, credentialId, retentionMs, weight, scopes: [...scopes], maxPriority },
      ...{ cost: submission.cost, input: {}, inputBytes: 0, startTimeoutMs, totalTimeoutMs, pricing },
      ...(runLimitMs === undefined ? {} : { runLimitMs }),
      deterministic: false,
    };
    const trail = {
      ...newTrail(),
      onLate: (one: Parameters<typeof giveBack>[2][number]) => giveBack(c, call, [one]),
      outlive: (hook: Promise<unknown>) => c.executionCtx.waitUntil(hook.catch(() => {})),
    };
    const charged = await runPhase(hooks, "admit", call, trail);
    const { reservations, verdicts } = trail;
    return {
      submission: {
        pricing: charged.pricing ?? pricing,
        ...(reservations.length === 0 ? {} : { reservations }),
        ...(verdicts.length === 0 ? {} : { verdicts }),
      },
      undo: () => giveBack(c, call, reservations),
    };
  };
}
