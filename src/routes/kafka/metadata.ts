/** Topics, consumers, committed offsets, offsets by time. upstash.com/docs/kafka/rest/restmetadata. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { OffsetQuery } from "../../log/protocol.ts";
import { checkRights, refusePools, requiredBody } from "./body.ts";
import type { CreateClient } from "./body.ts";
import type { KafkaEnv } from "./index.ts";
import { parse, parseName, PartitionsSchema } from "./schemas.ts";

const PARTITIONS_EXAMPLE = '[{"topic": "greetings", "partition": 0}]';

export function metadataRoutes(createClient: CreateClient): Hono<KafkaEnv> {
  const app = new Hono<KafkaEnv>();

  app.get("/topics", async (context) => {
    const { principal } = context.var;
    refusePools(principal);
    const topics = Object.entries(await createClient(context.env).topics());
    return context.json(
      Object.fromEntries(topics.filter(([topic]) => principal.mayConsume(topic) || principal.mayProduce(topic))),
    );
  });

  app.get("/consumers", async (context) => {
    const { principal } = context.var;
    refusePools(principal);
    const groups = (await createClient(context.env).consumers()).map((group) => ({
      name: group.name,
      instances: group.instances
        .map(({ name, topics }) => ({ name, topics: topics.filter(({ topic }) => principal.mayConsume(topic)) }))
        .filter((instance) => instance.topics.length > 0),
    }));
    return context.json(groups.filter((group) => group.instances.length > 0));
  });

  app.on(["GET", "POST"], "/committed/:group/:instance", async (context) => {
    refusePools(context.var.principal);
    const group = parseName("consumer group", context.req.param("group"));
    const partitions = parse(PartitionsSchema, await requiredBody(context, PARTITIONS_EXAMPLE));
    checkRights(
      context.var.principal,
      "consume",
      partitions.map((entry) => entry.topic),
    );
    return context.json(await createClient(context.env).committed(group, partitions));
  });

  app.on(["GET", "POST"], "/offsets/:timestamp", async (context) => {
    refusePools(context.var.principal);
    const query = offsetQuery(context.req.param("timestamp"));
    const partitions = parse(PartitionsSchema, await requiredBody(context, PARTITIONS_EXAMPLE));
    checkRights(
      context.var.principal,
      "consume",
      partitions.map((entry) => entry.topic),
    );
    return context.json(await createClient(context.env).offsets(partitions, query));
  });

  return app;
}

function offsetQuery(text: string): OffsetQuery {
  if (text === "earliest" || text === "latest") return text;
  const time = z.coerce.number().int().min(0).safeParse(text);
  if (time.success) return time.data;
  throw new EdgeplaneError(
    "invalid_request",
    `\`${text.slice(0, 40)}\` is no time: send \`earliest\`, \`latest\`, or milliseconds since the epoch.`,
  );
}
