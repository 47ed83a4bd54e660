import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { UpstashError } from "@upstash/kafka";
import { afterEach, expect, test } from "vitest";
import { TransportError } from "../transport/http-client.ts";
import { createUpstashKafka } from "./upstash-kafka.ts";

let server: Server;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function start(handle: (request: IncomingMessage, reply: ServerResponse) => void) {
  server = createServer((request, reply) => request.resume().on("end", () => handle(request, reply)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return createUpstashKafka({ url: new URL(`http://127.0.0.1:${port}/kafka`), username: "pool", password: "secret" });
}

/** For what is answered: a busy machine answers late. */
const PATIENT_MS = 15_000;
const consume = { consumerGroupId: "lane.default", instanceId: "s1", topics: ["jobs.default.normal"], timeout: 10 };

test("speaks the library's dialect with headers of our own", async () => {
  const seen: { url: string; headers: IncomingMessage["headers"] }[] = [];
  const kafka = await start((request, reply) => {
    seen.push({ url: request.url ?? "", headers: request.headers });
    reply.end("[]");
  });
  const consumer = kafka.with({ timeoutMs: PATIENT_MS, headers: { "edgeplane-room": "3" } }).consumer();
  expect(await consumer.consume({ ...consume, autoCommit: false })).toEqual([]);
  expect(seen[0]).toMatchObject({
    url: "/kafka/consume/lane.default/s1",
    headers: {
      authorization: `Basic ${Buffer.from("pool:secret").toString("base64")}`,
      "edgeplane-room": "3",
      "kafka-enable-auto-commit": "false",
    },
  });
});

test("a refusal comes at once, with its status, and is not tried again", async () => {
  let calls = 0;
  const kafka = await start((_request, reply) => {
    calls += 1;
    reply.writeHead(400).end('{"error":"no such topic","status":400}');
  });
  const failed = kafka.with({ timeoutMs: PATIENT_MS }).consumer().consume(consume);
  await expect(failed).rejects.toMatchObject({ name: "UpstashError", status: 400, error: "no such topic" });
  await expect(failed).rejects.toBeInstanceOf(UpstashError);
  expect(calls).toBe(1);
});

test("silence, a broken connection and what is not JSON are errors, soon", async () => {
  const kafka = await start((request, reply) => {
    if (request.url?.includes("broken") === true) request.socket.destroy();
    else if (request.url?.includes("page") === true) reply.end("<html>");
  });
  await expect(kafka.with({ timeoutMs: 100 }).consumer().consume(consume)).rejects.toBeInstanceOf(TransportError);
  const consumer = kafka.with({ timeoutMs: PATIENT_MS }).consumer();
  await expect(consumer.consume({ ...consume, instanceId: "broken" })).rejects.toBeInstanceOf(TransportError);
  await expect(consumer.consume({ ...consume, instanceId: "page" })).rejects.toThrow(
    "not an answer of a Kafka REST server",
  );
});
