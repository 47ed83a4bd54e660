/** The Worker's entry: exports the Worker and the Durable Object classes; wires, no logic. */
import type { EventsReply, EventsRequest } from "./contract/event.ts";
import { PoolSession as PoolSessionObject } from "./fleet/pool-session.ts";
import type { PoolIdentity } from "./fleet/types.ts";
import type { Env } from "./env.ts";
import { sweepExpired } from "./registry/sweep.ts";
import { createApp } from "./routes/create-app.ts";
import { publicRequest } from "./routes/public-origin.ts";
import { receiveParked } from "./routes/pool/receive-events.ts";
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
  screenedClaims,
  submit,
  verifyClaim,
  waitForPrediction,
} from "./shard/client.ts";
import { sweepOrphans } from "./shard/orphans.ts";

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
export class PoolSession extends PoolSessionObject {
  protected override receive(request: EventsRequest, pool: PoolIdentity): Promise<EventsReply> {
    return receiveParked(this.env, { deliverEvents, screenedClaims }, request, pool);
  }
}

export { Allowance } from "./allowance/allowance-object.ts";
export { CanaryWatch } from "./canary/canary-object.ts";
export { Lane } from "./lane/lane.ts";
export { LogBroker } from "./log/broker.ts";
export { ResponseCache } from "./responses/response-cache-object.ts";
export { StreamDecoder } from "./routes/stream-decoder.ts";
export { PluginGate } from "./sandbox/gate.ts";
export { AccountIndex } from "./shard/account-index.ts";
export { SettingsObject } from "./settings/settings-object.ts";
export { PredictionShard } from "./shard/shard.ts";
export { WebhookSender } from "./webhooks/sender.ts";
