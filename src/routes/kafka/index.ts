/**
 * `/kafka`: the embedded log in the Upstash Kafka REST dialect, as `@upstash/kafka` 1.3.5 speaks it, GET forms
 * included. Every answer is JSON; an error is `{error, status, code}`, since an empty or 204 answer is a failure to
 * that client.
 */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { EdgeplaneError } from "../../contract/errors.ts";
import { callOf, queryCredentials } from "../../contract/kafka-requests.ts";
import type { Env } from "../../env.ts";
import { createLogClient } from "../../log/client.ts";
import { identifyPool as identifyByToken } from "../../registry/pool-tokens.ts";
import { openHold } from "../body-budget.ts";
import { decodeBody } from "../decode-body.ts";
import { authenticate, basicCredentials } from "./auth.ts";
import type { IdentifyPool, Principal } from "./auth.ts";
import type { Call } from "./calls.ts";
import { commit, consume, deleteConsumer, fetchRecords } from "./consumers.ts";
import { errorBody } from "./errors.ts";
import { committed, consumers, offsets, topics } from "./metadata.ts";
import { produce, webhook } from "./producers.ts";
import { addressOf, dialectRequest } from "./request.ts";

export type KafkaEnv = { Bindings: Env; Variables: { principal: Principal } };

const calls: ReadonlyMap<string, Call> = new Map([
  ["produce", produce],
  ["webhook", webhook],
  ["consume", consume],
  ["commit", commit],
  ["committed", committed],
  ["fetch", fetchRecords],
  ["offsets", offsets],
  ["topics", topics],
  ["consumers", consumers],
  ["delete-consumer", deleteConsumer],
]);

/** Of a request's body; a record takes 1 MiB at most. */
export const MAX_BODY_BYTES = 8 * 1_048_576;

/** The routes, to be mounted at `/kafka`. */
export function kafkaRoutes(deps: { identifyPool: IdentifyPool } = { identifyPool: identifyByToken }): Hono<KafkaEnv> {
  const app = new Hono<KafkaEnv>();
  app.onError((error) => errorBody(error));
  app.use(async function kafkaAuth(context, next) {
    const credentials = basicCredentials(context.req.header("authorization")) ?? queryCredentials(addressOf(context));
    context.set("principal", await authenticate(context.env, credentials, deps.identifyPool));
    await next();
  });
  app.use(decodeBody());
  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: async (context) => {
        await discard(context.req.raw.body);
        throw new EdgeplaneError(
          "payload_too_large",
          `A body may take ${MAX_BODY_BYTES} bytes; send fewer records in one call.`,
        );
      },
    }),
  );
  app.all("*", async (context) => {
    const { principal } = context.var;
    const hold = openHold(context.env, `log ${principal.name}`);
    try {
      const request = await dialectRequest(context, hold);
      const call = calls.get(callOf(request));
      if (call === undefined)
        throw new EdgeplaneError("not_found", "There is no such call; docs/kafka.md lists those that are.");
      return context.json(await call({ request, principal, log: createLogClient(context.env), env: context.env }));
    } finally {
      hold.release();
    }
  });
  return app;
}

/** Reads on for a while: a client that still sends when the connection closes never sees the answer. */
async function discard(body: ReadableStream<Uint8Array> | null): Promise<void> {
  if (body === null || body.locked) return;
  let left = 8 * MAX_BODY_BYTES;
  for await (const chunk of body) {
    left -= chunk.byteLength;
    if (left < 0) return;
  }
}
