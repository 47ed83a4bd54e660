/**
 * A Worker with nothing but the embedded log, for tests that need neither shards nor a database. Its claims are made up, by the
 * job's epoch: 0 is granted, 1 refused, 2 answered `later` twice and then granted, 3 fails.
 */
import { Hono } from "hono";
import { LogBrokerBase } from "../../../src/log/broker-base.ts";
import { createLogClient } from "../../../src/log/client.ts";
import { createProducer } from "../../../src/log/producer.ts";
import { kafkaRoutes } from "../../../src/routes/kafka/index.ts";

export class LogBroker extends LogBrokerBase {
  #asked = new Map();

  async claimJobs({ session, startNow, jobs }, { lanes }) {
    if (jobs.some((job) => job.epoch === 3)) throw new Error("the shards are away");
    return jobs.map((job, index) => {
      const asked = (this.#asked.get(job.id) ?? 0) + 1;
      this.#asked.set(job.id, asked);
      if (job.epoch === 1) return { id: job.id, verdict: "refused", reason: "terminal" };
      if (job.epoch === 2 && asked <= 2) return { id: job.id, verdict: "later" };
      return { id: job.id, verdict: "granted", token: `${session}/${lanes.join()}`, startNow: index < startNow, asked };
    });
  }
}

/** Tokens are `lanes=<lane>,<lane>`. */
const identifyPool = async (_env, token) =>
  token.startsWith("lanes=")
    ? { poolTokenId: token, lanes: token.slice(6).split(","), mayRegisterModels: false }
    : null;

const app = new Hono();
app.route("/kafka", kafkaRoutes({ identifyPool }));
app.get("/stats", async (c) => c.json(await createLogClient(c.env).stats()));
app.post("/faults", async (c) => {
  await createLogClient(c.env).setFaults(await c.req.json());
  return c.json({});
});
/** What the edge itself calls: the producer port. */
app.post("/produce", async (c) => {
  try {
    return c.json(await createProducer(c.env).produce(await c.req.json()));
  } catch (error) {
    return c.json({ code: error.code ?? null, message: error.message }, 500);
  }
});

export default { fetch: app.fetch };
