/** A Worker with nothing but the embedded log, for tests that need neither shards nor a database. */
import { Hono } from "hono";
import { createLogClient } from "../../../src/log/client.ts";
import { createProducer } from "../../../src/log/producer.ts";
import { kafkaRoutes } from "../../../src/routes/kafka/index.ts";

export { LogBroker } from "../../../src/log/broker.ts";

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
