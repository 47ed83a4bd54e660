/** The Worker's entry: exports the Worker and the Durable Object classes; wires, no logic. */
import { Allowance as AllowanceObject } from "./allowance/allowance-object.ts";
import { allowanceSchema } from "./allowance/rows.ts";
import { canarySchema, CanaryWatch as CanaryWatchObject } from "./canary/canary-object.ts";
import type { EventsReply, EventsRequest } from "./contract/event.ts";
import { PoolSession as PoolSessionObject } from "./fleet/pool-session.ts";
import { sessionSchema } from "./fleet/session-schema.ts";
import type { PoolIdentity } from "./fleet/types.ts";
import type { Env } from "./env.ts";
import { LedgerObject } from "./ledger/ledger-object.ts";
import { ledgerSchema } from "./ledger/rows.ts";
import { Lane as LaneObject } from "./lane/lane.ts";
import { laneSchema } from "./lane/rows.ts";
import { LogBroker as LogBrokerObject } from "./log/broker.ts";
import { logSchema } from "./log/schema.ts";
import { meterSchema } from "./metering/meter-rows.ts";
import { UsageMeter as UsageMeterObject } from "./metering/usage-meter.ts";
import { sweepExpired } from "./registry/sweep.ts";
import { ResponseCache as ResponseCacheObject } from "./responses/response-cache-object.ts";
import { responsesSchema } from "./responses/table.ts";
import { createApp } from "./routes/create-app.ts";
import { publicRequest } from "./routes/public-origin.ts";
import { receiveParked } from "./routes/pool/receive-events.ts";
import { scalerSchema } from "./scaling/object/rows.ts";
import { Scaler as ScalerObject } from "./scaling/object/scaler.ts";
import { SettingsObject as StoredSettings } from "./settings/settings-object.ts";
import { settingsSchema } from "./settings/store.ts";
import { AccountIndex as AccountIndexObject, indexSchema } from "./shard/account-index.ts";
import {
  cancelPrediction,
  claimJobs,
  deliverEvents,
  getPrediction,
  hasPrediction,
  isAccepted,
  listPredictions,
  openStream,
  removePredictionData,
  reportUsage,
  screenedClaims,
  submit,
  verifyClaim,
  waitForPrediction,
} from "./shard/client.ts";
import { sweepOrphans } from "./shard/orphans.ts";
import { shardSchema } from "./shard/schema.ts";
import { PredictionShard as PredictionShardObject } from "./shard/shard.ts";
import { versioned } from "./versioned-object.ts";
import { webhookSchema } from "./webhooks/schema.ts";
import { WebhookSender as WebhookSenderObject } from "./webhooks/sender.ts";

const app = createApp({
  cancelPrediction,
  claimJobs,
  deliverEvents,
  getPrediction,
  hasPrediction,
  isAccepted,
  listPredictions,
  openStream,
  removePredictionData,
  reportUsage,
  screenedClaims,
  submit,
  verifyClaim,
  waitForPrediction,
});

export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) => app.fetch(publicRequest(request, env), env, ctx),
  scheduled: (_event, env, ctx) => ctx.waitUntil(sweepExpired(env, [sweepOrphans]).then(() => undefined)),
} satisfies ExportedHandler<Env>;

/** Knows how events are received, which the objects don't: screening is the pipeline's. */
class ReceivingSession extends PoolSessionObject {
  protected override receive(request: EventsRequest, pool: PoolIdentity): Promise<EventsReply> {
    return receiveParked(this.env, { deliverEvents, reportUsage, screenedClaims }, request, pool);
  }
}

export const Allowance = versioned(AllowanceObject, allowanceSchema);
export const CanaryWatch = versioned(CanaryWatchObject, canarySchema);
export const Lane = versioned(LaneObject, laneSchema);
export const Ledger = versioned(LedgerObject, ledgerSchema);
export const LogBroker = versioned(LogBrokerObject, logSchema);
export const PoolSession = versioned(ReceivingSession, sessionSchema);
export const ResponseCache = versioned(ResponseCacheObject, responsesSchema);
export const Scaler = versioned(ScalerObject, scalerSchema);
export const AccountIndex = versioned(AccountIndexObject, indexSchema);
export const SettingsObject = versioned(StoredSettings, settingsSchema);
export const PredictionShard = versioned(PredictionShardObject, shardSchema);
export const UsageMeter = versioned(UsageMeterObject, meterSchema);
export const WebhookSender = versioned(WebhookSenderObject, webhookSchema);

export { StreamDecoder } from "./routes/stream-decoder.ts";
export { PluginGate } from "./sandbox/gate.ts";
