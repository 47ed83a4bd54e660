/** Produce, in its three forms, and the webhook that produces. upstash.com/docs/kafka/rest/restproducer and …/webhook. */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import { checkRights, requiredBody } from "./body.ts";
import type { CreateClient } from "./body.ts";
import type { KafkaEnv } from "./index.ts";
import type { Principal } from "./auth.ts";
import { parse, ProduceSchema, ProduceToTopicSchema } from "./schemas.ts";
import type { ProduceMessage } from "./schemas.ts";
import type { ProduceRecord } from "../../log/client.ts";
import type { LogEnv } from "../../log/client.ts";
import { laneOfTopic } from "../../log/names.ts";
import type { ProducedRecord } from "../../log/types.ts";

/** Headers of HTTP and of the platform; a webhook's others become record headers. */
const STANDARD_HEADERS =
  /^(host|accept(-.*)?|authorization|connection|content-.*|cookie|user-agent|referer|origin|cache-control|pragma|te|via|upgrade(-.*)?|forwarded|x-forwarded-.*|x-real-ip|cf-.*|cdn-loop|sec-.*|priority|transfer-encoding|mf-.*|true-client-ip)$/i;

export function producerRoutes(createClient: CreateClient): Hono<KafkaEnv> {
  const app = new Hono<KafkaEnv>();

  async function produce(
    env: LogEnv,
    principal: Principal,
    messages: readonly ProduceMessage[],
  ): Promise<ProducedRecord[]> {
    if (messages.length === 0)
      throw new EdgeplaneError("invalid_request", "There is no message in the body; send at least one.");
    checkRights(principal, "produce", new Set(messages.map((message) => message.topic)));
    refuseJobTopics(messages);
    return createClient(env).produce(messages.map(toRecord), principal.mayCreate);
  }

  app.on(["GET", "POST"], "/produce", async (context) => {
    const body = await requiredBody(context, '[{"topic": "greetings", "value": "hello"}]');
    return context.json(await produce(context.env, context.var.principal, parse(ProduceSchema, body)));
  });

  app.on(["GET", "POST"], "/produce/:topic", async (context) => {
    const topic = context.req.param("topic");
    const body = await requiredBody(context, '[{"value": "hello"}]');
    const messages = parse(ProduceToTopicSchema, body).map((message) => ({ ...message, topic }));
    return context.json(await produce(context.env, context.var.principal, messages));
  });

  app.on(["GET", "POST"], "/produce/:topic/:message", async (context) => {
    const { topic, message: value } = context.req.param();
    const key = context.req.query("key");
    const [produced] = await produce(context.env, context.var.principal, [{ topic, value, key }]);
    return context.json(produced);
  });

  app.on(["GET", "POST"], "/webhook", async (context) => {
    const topic = context.req.query("topic");
    if (!topic) throw new EdgeplaneError("invalid_request", "Name the topic in the query: `/webhook?topic=…`.");
    const headers = Object.entries(context.req.header())
      .filter(([key]) => !STANDARD_HEADERS.test(key))
      .map(([key, value]) => ({ key, value: value ?? "" }));
    const message = { topic, value: await context.req.text(), headers };
    const [produced] = await produce(context.env, context.var.principal, [message]);
    return context.json(produced);
  });

  return app;
}

function refuseJobTopics(messages: readonly ProduceMessage[]): void {
  const job = messages.find(({ topic }) => laneOfTopic(topic) !== null);
  if (job === undefined) return;
  throw new EdgeplaneError(
    "topic_forbidden",
    `\`${job.topic}\` is served by its lane, which alone puts jobs there; make a prediction instead.`,
  );
}

function toRecord(message: ProduceMessage): ProduceRecord {
  const { topic, value, key, partition, timestamp, headers } = message;
  const record: ProduceRecord = { topic, value };
  if (typeof key === "string") record.key = key;
  if (typeof partition === "number") record.partition = partition;
  if (typeof timestamp === "number") record.timestamp = timestamp;
  if (headers) record.headers = headers;
  return record;
}
