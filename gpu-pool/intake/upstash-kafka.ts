/**
 * `@upstash/kafka` with a transport of our own. The library tries every failure again for 15.5 s, has no timeout and
 * takes no headers; all three live in the object that its producers, consumers and admins share. This module puts
 * another one there, so that the dialect (paths, bodies, headers) stays the library's, and the pool owns retries
 * (none here: the caller has a policy), timeouts, headers and connections.
 */
import { Kafka, UpstashError } from "@upstash/kafka";
import * as z from "zod";
import { createHttpClient } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";

const RequestSchema = z.object({
  path: z.array(z.string()),
  body: z.unknown().optional(),
  headers: z.record(z.string(), z.string()).optional(),
});

const ErrorSchema = z.object({ error: z.string() });

export type CallOptions = { headers?: Record<string, string>; timeoutMs: number; signal?: AbortSignal };

export type KafkaOptions = { url: URL; username: string; password: string };

export type UpstashKafka = {
  /**
   * A Kafka client of the library whose calls carry these headers and this timeout.
   * Its calls throw `UpstashError` when the log refuses, `TransportError` when it can't be reached.
   */
  with(call: CallOptions): Kafka;
  close(): void;
};

/** Throws when the installed library is built otherwise than 1.3.5. */
export function createUpstashKafka(options: KafkaOptions): UpstashKafka {
  const { username, password } = options;
  const url = options.url.href.replace(/\/+$/, "");
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const http = createHttpClient(options.url, { authorization, "content-type": "application/json" });
  return {
    with(call) {
      const kafka = new Kafka({ url, username, password });
      if (!("client" in kafka)) throw new Error("@upstash/kafka has no `client`: this pool needs version 1.3.5");
      Reflect.set(kafka, "client", {
        get: (request: unknown) => send(http, "GET", RequestSchema.parse(request), call),
        post: (request: unknown) => send(http, "POST", RequestSchema.parse(request), call),
      });
      return kafka;
    },
    close: () => http.close(),
  };
}

async function send(
  http: HttpClient,
  method: "GET" | "POST",
  request: z.infer<typeof RequestSchema>,
  call: CallOptions,
): Promise<unknown> {
  const reply = await http.request({
    method,
    path: `/${request.path.map(encodeURIComponent).join("/")}`,
    headers: { ...request.headers, ...call.headers },
    timeoutMs: call.timeoutMs,
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  });
  const body = parse(reply.text);
  if (reply.status >= 200 && reply.status <= 299 && body !== undefined) return body;
  const known = ErrorSchema.safeParse(body);
  const error = known.success ? known.data.error : `not an answer of a Kafka REST server: ${reply.text.slice(0, 200)}`;
  throw new UpstashError({ result: "", error, status: reply.status });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
