/** Consume, commit, fetch and leave. upstash.com/docs/kafka/rest/restconsumer. */
import { Hono } from "hono";
import type { Context } from "hono";
import * as z from "zod";
import { ROOM_HEADER } from "../../contract/claim.ts";
import type { InstanceRef } from "../../log/protocol.ts";
import { checkRights, jsonBody, refusePools, requiredBody } from "./body.ts";
import type { CreateClient } from "./body.ts";
import type { KafkaEnv } from "./index.ts";
import { BROKER_HEADER, brokerIndex, CommitSchema, ConsumeSchema, FetchSchema, memberOptions } from "./schemas.ts";
import { lanesOf, peekJobs, pollJobs } from "./jobs.ts";
import { parse, parseName, room, timeoutMs } from "./schemas.ts";

const SUCCESS = { result: "Success", status: 200 };

export function consumerRoutes(createClient: CreateClient): Hono<KafkaEnv> {
  const app = new Hono<KafkaEnv>();

  async function consume(context: Context<KafkaEnv>, ref: InstanceRef, body: unknown): Promise<Response> {
    const request = parse(ConsumeSchema, body);
    const { principal } = context.var;
    const topics = [...new Set([...(request.topic === undefined ? [] : [request.topic]), ...(request.topics ?? [])])];
    checkRights(principal, "consume", topics);
    const header = (name: string): string | undefined => context.req.header(name);
    const lanes = lanesOf(topics);
    if (lanes.length > 0) return context.json(await pollJobs(context, lanes, topics));
    const messages = await createClient(context.env).consume({
      ref,
      topics,
      options: memberOptions(header),
      room: room(header(ROOM_HEADER)),
      timeoutMs: timeoutMs(request.timeout, context.req.query("timeout")),
      broker: brokerIndex(header(BROKER_HEADER)),
      create: principal.mayCreate,
    });
    return context.json(messages);
  }

  app.on(["GET", "POST"], "/consume/:group/:instance", async (context) =>
    consume(context, instanceRef(context), await requiredBody(context, '{"topic": "greetings", "timeout": 1000}')),
  );

  app.on(["GET", "POST"], "/consume/:group/:instance/:topic", async (context) =>
    consume(context, instanceRef(context), { topic: context.req.param("topic") }),
  );

  app.on(["GET", "POST"], "/commit/:group/:instance", async (context) => {
    const ref = instanceRef(context);
    const offsets = parse(CommitSchema, (await jsonBody(context)) ?? []);
    checkRights(
      context.var.principal,
      "consume",
      offsets.map((entry) => entry.topic),
    );
    // What a pool polled was granted by then: there is nothing left to remember.
    if (lanesOf(offsets.map(({ topic }) => topic)).length > 0) return context.json(SUCCESS);
    await createClient(context.env).commit(ref, offsets.length === 0 ? null : offsets);
    return context.json(SUCCESS);
  });

  app.on(["GET", "POST"], "/fetch", async (context) => {
    refusePools(context.var.principal);
    const body = (await jsonBody(context)) ?? fetchQuery(context.req.query());
    const request = parse(FetchSchema, body);
    checkRights(
      context.var.principal,
      "consume",
      request.from.map((entry) => entry.topic),
    );
    if (lanesOf(request.from.map(({ topic }) => topic)).length > 0)
      return context.json(await peekJobs(context, request.from));
    const waitMs = timeoutMs(request.timeout, context.req.query("timeout"));
    return context.json(await createClient(context.env).fetch(request.from, waitMs));
  });

  app.on(["POST", "DELETE"], "/delete-consumer/:group/:instance", async (context) => {
    await createClient(context.env).removeInstance(instanceRef(context));
    return context.json(SUCCESS);
  });

  return app;
}

function instanceRef(context: Context<KafkaEnv>): InstanceRef {
  return {
    group: parseName("consumer group", context.req.param("group") ?? ""),
    instance: parseName("consumer instance", context.req.param("instance") ?? ""),
    principal: context.var.principal.name,
  };
}

/** A GET without a body names what it wants in the query. */
function fetchQuery(query: Record<string, string>): unknown {
  const number = (text: string | undefined): unknown =>
    text === undefined ? undefined : z.coerce.number().safeParse(text).data;
  return { topic: query["topic"], partition: number(query["partition"]), offset: number(query["offset"]) };
}
