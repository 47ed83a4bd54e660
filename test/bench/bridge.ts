/**
 * The bridge beside the native clients, on one machine and in one run: `node test/bench/bridge.ts`. It needs Java 17 and redis-server.
 * Exits with 1 when a target of docs/bridge.md is missed.
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { Producer } from "@platformatic/kafka";
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";
import { Redis as NativeRedis } from "ioredis";
import { ScriptMap } from "../../gpu-pool/bridge/redis/scripts.ts";
import { startKafka, startRedis, basic, until } from "../conformance/bridge/engines.ts";
import { freePort } from "../conformance/bridge/ports.ts";

const USER = { username: "bench", password: "bench-password", produce: [""], consume: [""] };
const TOKEN = "bench-token-0123456789";
const BATCH = 100;
const BATCHES = 400;
const WRITERS = 4;
const SINGLES = 500;
const VALUE = JSON.stringify({
  id: "0".repeat(26),
  lane: "default",
  model: "me/echo",
  version: "0".repeat(64),
  cost: 1,
  v: 1,
});

const kafka = await startKafka();
const redis = await startRedis();
const port = await freePort();
const bridge = spawn(process.execPath, ["gpu-pool/bridge/main.ts"], {
  stdio: "ignore",
  env: {
    ...{ PATH: process.env["PATH"], BRIDGE_PORT: String(port), BRIDGE_LOG_LEVEL: "silent" },
    ...{ BRIDGE_KAFKA_BROKERS: kafka.brokers.join(), BRIDGE_KAFKA_USERS: JSON.stringify([USER]) },
    ...{
      BRIDGE_KAFKA_TOPICS_CREATE: "true",
      BRIDGE_REDIS_URL: redis.url,
      BRIDGE_REDIS_TOKENS: JSON.stringify([{ token: TOKEN }]),
    },
  },
});
let missed = false;
try {
  await until(async () => (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null))?.status === 200);
  await benchKafka();
  await benchRedis();
} finally {
  bridge.kill("SIGKILL");
  await Promise.all([kafka.stop(), redis.stop()]);
}
process.exit(missed ? 1 : 0);

async function benchKafka(): Promise<void> {
  const native = new Producer({ clientId: "bench", bootstrapBrokers: kafka.brokers, idempotent: true });
  const viaBridge = async (records: object): Promise<void> => {
    const headers = { authorization: basic(USER.username, USER.password) };
    const response = await fetch(`http://127.0.0.1:${port}/kafka/produce`, {
      method: "POST",
      headers,
      body: JSON.stringify(records),
    });
    if (!response.ok) throw new Error(await response.text());
    await response.arrayBuffer();
  };
  const direct = async (count: number): Promise<void> => {
    const value = Buffer.from(VALUE);
    await native.send({ messages: Array.from({ length: count }, () => ({ topic: "bench", value })) });
  };
  const bridged = async (count: number) =>
    viaBridge(Array.from({ length: count }, () => ({ topic: "bench", value: VALUE })));
  await bridged(1);
  for (const warm of [bridged, direct]) for (let index = 0; index < 50; index++) await warm(BATCH);
  const nativeRate = await rate(direct);
  const bridgeRate = await rate(bridged);
  show(
    "produce in batches of 100, records/s",
    bridgeRate,
    nativeRate,
    `at least half of native`,
    bridgeRate >= nativeRate / 2,
  );
  const nativeMs = await median(async () => direct(1));
  const bridgeMs = await median(async () => bridged(1));
  show("one produce, p50 ms", bridgeMs, nativeMs, "at most 2 ms more than native", bridgeMs <= nativeMs + 2);
  await native.close();
}

async function benchRedis(): Promise<void> {
  const native = new NativeRedis(redis.url);
  const limiter = Ratelimit.slidingWindow(1_000_000, "60 s");
  const rest = new Redis({ url: `http://127.0.0.1:${port}/redis`, token: TOKEN, retry: false });
  const through = new Ratelimit({ redis: rest, limiter, ephemeralCache: false, timeout: 0, prefix: "rest" });
  const beside = new Ratelimit({
    redis: nativeAdapter(native),
    limiter,
    ephemeralCache: false,
    timeout: 0,
    prefix: "native",
  });
  for (let index = 0; index < 200; index++) await Promise.all([through.limit("user"), beside.limit("user")]);
  for (const limit of [through, beside]) {
    const { success, remaining, reason } = await limit.limit("user");
    if (!success || reason !== undefined || remaining > 999_999 - 200) throw new Error("The limiter did not count");
  }
  const nativeMs = await median(async () => beside.limit("user"));
  const bridgeMs = await median(async () => through.limit("user"));
  show(
    "@upstash/ratelimit sliding window, p50 ms",
    bridgeMs,
    nativeMs,
    "at most twice ioredis",
    bridgeMs <= nativeMs * 2,
  );
  native.disconnect();
}

/** What `@upstash/ratelimit` calls of its client, over ioredis, with the scripts as a stock server takes them. */
function nativeAdapter(native: NativeRedis): ConstructorParameters<typeof Ratelimit>[0]["redis"] {
  const scripts = new ScriptMap();
  const run = (command: "evalsha" | "eval", first: string, keys: string[], args: unknown[]) =>
    native[command](first, keys.length, ...keys, ...args.map(String));
  const evaluate = {
    eval: async (script: string, keys: string[], args: unknown[]) => run("eval", scripts.adapt(script), keys, args),
  };
  const evalsha = async <TArgs extends unknown[], TData = unknown>(sha: string, keys: string[], args: TArgs) =>
    (await run("evalsha", scripts.shaFor(sha), keys, args)) as TData;
  return Object.assign({ evalsha, get: async () => null, set: async () => "OK" as const }, evaluate);
}

async function rate(send: (count: number) => Promise<void>): Promise<number> {
  await sleep(500);
  let left = BATCHES;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (left-- > 0) await send(BATCH);
    }),
  );
  return (BATCHES * BATCH) / ((performance.now() - started) / 1000);
}

async function median(work: () => Promise<unknown>): Promise<number> {
  await sleep(500);
  const times: number[] = [];
  for (let index = 0; index < SINGLES; index++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times.toSorted((a, b) => a - b)[SINGLES / 2] ?? Number.NaN;
}

function show(what: string, bridged: number, native: number, target: string, met: boolean): void {
  if (!met) missed = true;
  const number = (value: number) => value.toFixed(value < 100 ? 2 : 0);
  console.log(
    `${what}: bridge ${number(bridged)}, native ${number(native)}; target: ${target}: ${met ? "met" : "MISSED"}`,
  );
}
