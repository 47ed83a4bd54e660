/**
 * The bridge beside the native clients, on one machine and in one run: `node test/bench/bridge.ts`. It needs Java 17
 * and redis-server. Each figure is the median of several runs that take turns, with their spread. `@upstash/ratelimit`
 * is measured a third time against an HTTP server that does nothing: its client's own floor. Exits with 1 when a target
 * of docs/bridge.md is missed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Producer } from "@platformatic/kafka";
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";
import { Redis as NativeRedis } from "ioredis";
import * as z from "zod";
import { ScriptMap } from "../../gpu-pool/bridge/redis/scripts.ts";
import { startKafka, startRedis, basic, until } from "../conformance/bridge/engines.ts";
import { freePort } from "../conformance/bridge/ports.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, redisVersion, versions } from "./lib/machine.ts";
import { median as middle, spread } from "./lib/stats.ts";

offerHelp(import.meta.url);

const USER = { username: "bench", password: "bench-password", produce: [""], consume: [""] };
const TOKEN = "bench-token-0123456789";
const BATCH = 100;
const BATCHES = 200;
/** Until both sides, and the broker, run compiled code. */
const WARM = 800;
const WRITERS = 4;
const SINGLES = 300;
const RUNS = 5;
/** What the sliding window's script answers, in the door's own bytes. */
const COUNTED = JSON.stringify([{ result: [999_000, 0] }]);
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
const empty = spawn(process.execPath, ["test/bench/lib/empty-server.mjs", COUNTED], {
  stdio: ["ignore", "pipe", "inherit"],
});
const [emptyPort] = z.tuple([z.instanceof(Buffer)]).parse(await once(empty.stdout, "data"));
let missed = false;
try {
  console.log(`${machine()}\n${versions(["@platformatic/kafka", "ioredis", "@upstash/redis"])}, ${redisVersion()}`);
  await until(async () => (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null))?.status === 200);
  await benchKafka();
  await benchRedis();
} finally {
  bridge.kill("SIGKILL");
  empty.kill("SIGKILL");
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
  for (const warm of [bridged, direct]) for (let index = 0; index < WARM; index++) await warm(BATCH);
  const [bridgeRates = [], nativeRates = []] = await turns(
    async () => rate(bridged),
    async () => rate(direct),
  );
  const share = middle(bridgeRates) / middle(nativeRates);
  show(
    "produce in batches of 100, records/s",
    { bridge: bridgeRates, native: nativeRates },
    { digits: 0, told: `${(share * 100).toFixed(0)} %`, target: "at least half of native", met: share >= 0.5 },
  );
  const [bridgeMs = [], nativeMs = []] = await turns(
    async () => p50(() => bridged(1)),
    async () => p50(() => direct(1)),
  );
  const moreMs = middle(bridgeMs) - middle(nativeMs);
  show(
    "one produce, p50 ms",
    { bridge: bridgeMs, native: nativeMs },
    { digits: 2, told: `${moreMs.toFixed(2)} ms more`, target: "at most 2 ms more than native", met: moreMs <= 2 },
  );
  await native.close();
}

async function benchRedis(): Promise<void> {
  const native = new NativeRedis(redis.url);
  const limiter = Ratelimit.slidingWindow(1_000_000, "60 s");
  const options = { limiter, ephemeralCache: false, timeout: 0 } as const;
  const over = (url: string) => new Redis({ url, token: TOKEN, retry: false });
  const through = new Ratelimit({ ...options, redis: over(`http://127.0.0.1:${port}/redis`), prefix: "rest" });
  const alone = new Ratelimit({
    ...options,
    redis: over(`http://127.0.0.1:${emptyPort.toString().trim()}`),
    prefix: "empty",
  });
  const beside = new Ratelimit({ ...options, redis: nativeAdapter(native), prefix: "native" });
  for (let index = 0; index < 200; index++) for (const limit of [through, alone, beside]) await limit.limit("user");
  for (const limit of [through, beside]) {
    const { success, remaining, reason } = await limit.limit("user");
    if (!success || reason !== undefined || remaining > 999_999 - 200) throw new Error("The limiter did not count");
  }
  const [bridgeMs = [], floorMs = [], nativeMs = []] = await turns(
    ...[through, alone, beside].map((limit) => async () => p50(() => limit.limit("user"))),
  );
  const ratio = (values: readonly number[]) => `${(middle(values) / middle(nativeMs)).toFixed(1)}×`;
  show(
    "@upstash/ratelimit sliding window, p50 ms",
    { bridge: bridgeMs, native: nativeMs },
    {
      digits: 2,
      told: ratio(bridgeMs),
      target: "at most twice ioredis",
      met: middle(bridgeMs) <= middle(nativeMs) * 2,
    },
  );
  const oursMs = middle(bridgeMs) - middle(floorMs);
  console.log(
    `  of it, the client's fetch alone, against an empty Node http server: ${spread(floorMs, 2)} (${ratio(floorMs)} of ioredis); the bridge and Redis add ${oursMs.toFixed(2)} ms`,
  );
  native.disconnect();
}

/** What `@upstash/ratelimit` calls of its client, over ioredis, with the scripts as a stock server takes them. */
function nativeAdapter(native: NativeRedis): ConstructorParameters<typeof Ratelimit>[0]["redis"] {
  const scripts = new ScriptMap();
  const run = (command: "evalsha" | "eval", first: string, keys: string[], args: unknown[]) =>
    native[command](first, keys.length, ...keys, ...args.map(String));
  const evaluate = {
    eval: async (script: string, keys: string[], args: unknown[]) =>
      run("eval", scripts.adapt(script).toString(), keys, args),
  };
  const evalsha = async <TArgs extends unknown[], TData = unknown>(sha: string, keys: string[], args: TArgs) =>
    (await run("evalsha", scripts.shaFor(sha).toString(), keys, args)) as TData;
  return Object.assign({ evalsha, get: async () => null, set: async () => "OK" as const }, evaluate);
}

async function rate(send: (count: number) => Promise<void>): Promise<number> {
  await sleep(100);
  let left = BATCHES;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (left-- > 0) await send(BATCH);
    }),
  );
  return (BATCHES * BATCH) / ((performance.now() - started) / 1000);
}

/** The works take turns; the figures of each, in their order. */
async function turns(...works: (() => Promise<number>)[]): Promise<number[][]> {
  const figures = works.map((): number[] => []);
  for (let run = 0; run < RUNS; run++) {
    for (const [index, work] of works.entries()) figures[index]?.push(await work());
  }
  return figures;
}

async function p50(work: () => Promise<unknown>): Promise<number> {
  await sleep(100);
  const times: number[] = [];
  for (let index = 0; index < SINGLES; index++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return middle(times);
}

type Verdict = { digits: number; told: string; target: string; met: boolean };

function show(what: string, runs: { bridge: number[]; native: number[] }, verdict: Verdict): void {
  const { digits, told, target, met } = verdict;
  if (!met) missed = true;
  const figures = `bridge ${spread(runs.bridge, digits)}, native ${spread(runs.native, digits)}: ${told}`;
  console.log(`${what}: ${figures}; target: ${target}: ${met ? "met" : "MISSED"}`);
}
