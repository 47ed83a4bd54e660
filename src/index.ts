/** The Worker's entry: exports the Worker and the Durable Object classes; wires, no logic. */
import { createApp } from "./routes/create-app.ts";
import {
  cancelPrediction,
  claimJobs,
  deliverEvents,
  getPrediction,
  listPredictions,
  openStream,
  submit,
  verifyClaim,
  waitForPrediction,
} from "./shard/client.ts";

const app = createApp({
  cancelPrediction,
  claimJobs,
  deliverEvents,
  getPrediction,
  listPredictions,
  openStream,
  submit,
  verifyClaim,
  waitForPrediction,
});

export default { fetch: app.fetch };

export { PoolSession } from "./fleet/pool-session.ts";
export { Lane } from "./lane/lane.ts";
export { LogBroker } from "./log/broker.ts";
export { AccountIndex } from "./shard/account-index.ts";
export { PredictionShard } from "./shard/shard.ts";
export { WebhookSender } from "./webhooks/sender.ts";
