/** The peer's worker: gives back what it gets, as the echo model does. */
import { Worker } from "bullmq";

const worker = new Worker("predictions", (job) => Promise.resolve({ output: job.data.input.value }), {
  connection: { host: "127.0.0.1", port: Number(process.env["PEER_REDIS_PORT"]), maxRetriesPerRequest: null },
  concurrency: 64,
  removeOnComplete: { count: 1000 },
});
worker.on("error", () => {});
