/** The peer's API: checks a key by its hash, adds a job, and answers with its result in the same request. */
import { createHash } from "node:crypto";
import { serve } from "@hono/node-server";
import { Queue, QueueEvents } from "bullmq";
import { Hono } from "hono";

const connection = { host: "127.0.0.1", port: Number(process.env["PEER_REDIS_PORT"]), maxRetriesPerRequest: null };
const queue = new Queue("predictions", { connection });
const held = new Queue("held", { connection });
const events = new QueueEvents("predictions", { connection });
await events.waitUntilReady();
// Every waiting request listens for the queue's end.
queue.setMaxListeners(0);
events.setMaxListeners(0);

const hash = (key) => createHash("sha256").update(key).digest("hex");
const keys = new Set([hash(process.env["PEER_KEY"] ?? "")]);

const app = new Hono();

app.use(async (c, next) => {
  const key = c.req.header("authorization")?.replace(/^Bearer /, "") ?? "";
  if (!keys.has(hash(key))) return c.json({ detail: "unauthenticated" }, 401);
  return next();
});

app.post("/run", async (c) => {
  const body = await c.req.json();
  const job = await queue.add("run", { input: body.input });
  const result = await job.waitUntilFinished(events, 60_000);
  return c.json({ id: job.id, status: "succeeded", output: result.output });
});

/** Nobody works on this queue: what is accepted waits. */
app.post("/add", async (c) => {
  const body = await c.req.json();
  const job = await held.add("run", { input: body.input });
  return c.json({ id: job.id, status: "starting" }, 201);
});

serve({ fetch: app.fetch, port: Number(process.env["PEER_PORT"]), hostname: "127.0.0.1" });
