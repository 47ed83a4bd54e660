/** A bridge with a Kafka door over a real Kafka of its own, for one test file, and the hands to ask it. */
import { randomUUID } from "node:crypto";
import { Kafka } from "@upstash/kafka";
import { afterAll, beforeAll, expect } from "vitest";
import * as z from "zod";
import type { Bridge } from "../../../gpu-pool/bridge/server.ts";
import { basic, bridgeFor, startKafka } from "./engines.ts";
import type { TestKafka } from "./engines.ts";

export const all = { username: "all", password: "all-password", produce: [""], consume: [""] };
export const pool = {
  ...{ username: "pool", password: "pool-password" },
  ...{ produce: ["out."], consume: ["jobs."], groups: ["lane."] },
};
export const ErrorSchema = z.object({ error: z.string(), status: z.number(), code: z.string() });
export const RecordsSchema = z.array(
  z.object({ topic: z.string(), partition: z.number(), offset: z.number(), value: z.string() }),
);
export const anyNumber: unknown = expect.any(Number);
export const saying = (text: string): unknown => expect.stringContaining(text);
export const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
export const anyPlace = { partition: anyNumber, offset: anyNumber, timestamp: anyNumber };

export type CallOptions = { body?: unknown; user?: typeof all; headers?: Record<string, string>; method?: string };
export type KafkaDoorFixture = ReturnType<typeof useKafkaDoor>;

/** Starts both before the tests of the file and stops them after. */
export function useKafkaDoor() {
  let kafka: TestKafka;
  let bridge: Bridge;

  beforeAll(async () => {
    kafka = await startKafka({ secure: true });
    bridge = await bridgeFor({
      kafka: {
        ...{ brokers: kafka.brokers, users: [all, pool], topics: { create: true, partitions: 4, replicas: 1 } },
        limits: { instanceIdleMs: 2000, maxInstances: 24, maxBodyBytes: 2_000_000, maxConsumeRecords: 100 },
        ...{ heartbeatIntervalMs: 200, sessionTimeoutMs: 6000 },
      },
    });
  }, 120_000);

  afterAll(async () => {
    await bridge?.close();
    await kafka?.stop();
  }, 60_000);

  const client = (user = all) =>
    new Kafka({ url: `${bridge.url}/kafka`, username: user.username, password: user.password });

  async function call(path: string, { body, user = all, headers = {}, method = "POST" }: CallOptions = {}) {
    const response = await fetch(`${bridge.url}/kafka/${path}`, {
      method,
      headers: { authorization: basic(user.username, user.password), ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const reply: unknown = await response.json();
    return { status: response.status, reply };
  }

  async function refusal(path: string, options: CallOptions = {}) {
    const { status, reply } = await call(path, options);
    const error = ErrorSchema.parse(reply);
    expect(error.status).toBe(status);
    return error;
  }

  return {
    /** A name that nobody has used. */
    name: (prefix: string) => `${prefix}${randomUUID()}`,
    engine: () => kafka,
    url: () => bridge.url,
    client,
    call,
    refusal,
  };
}
