/**
 * `delivery: kv` where it is hard: settings that don't fit, a control channel that is cut, a pool that dies after it
 * parked its result.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { hasRedis, until } from "../../conformance/bridge/engines.ts";
import { FREE_TOKEN, POOL_PREFIX, POOL_TOKEN, READER_TOKEN, startKv } from "../../conformance/bridge/kv.ts";
import type { Kv } from "../../conformance/bridge/kv.ts";
import { startChannelCutter } from "./channel-cutter.ts";
import type { ChannelCutter } from "./channel-cutter.ts";
import { models } from "./models.ts";
import { makeHome, startPool } from "./pool-process.ts";
import type { PoolHome, RunningPool } from "./pool-process.ts";

const PredictionSchema = z.looseObject({
  id: z.string(),
  status: z.string(),
  output: z.unknown(),
  attempt: z.number(),
});

describe.runIf(hasRedis)("delivery through Redis", () => {
  const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-kv-"));
  let kv: Kv;
  let stack: Stack;
  let cutter: ChannelCutter;
  let home: PoolHome;
  let pool: RunningPool | null = null;

  beforeAll(async () => {
    kv = await startKv();
    stack = await startStack({ stateDir, pool: false, allowLoopback: true, vars: kv.stack.vars });
    cutter = await startChannelCutter(stack.port);
    home = makeHome({ single: models.single });
  });

  afterAll(async () => {
    await pool?.kill("SIGKILL");
    await cutter?.stop();
    await stack?.stop();
    await kv?.stop();
    home?.remove();
    rmSync(stateDir, { recursive: true, force: true });
  });

  const flagsOf = (more: Record<string, string> = {}): string[] =>
    Object.entries({
      "--delivery": "kv",
      "--kv-url": kv.url,
      "--kv-token": POOL_TOKEN,
      "--kv-prefix": POOL_PREFIX,
      ...more,
    }).flat();

  /** Starts the pool behind the cutter and waits until its model is there. */
  async function start(): Promise<RunningPool> {
    cutter.mend();
    const started = startPool(home, cutter.url, stack.poolToken, flagsOf());
    pool = started;
    await until(() => started.output().includes("connected to the edge"));
    await until(async () => (await fetch(`${stack.url}/v1/models/local/single`, { headers: auth() })).ok);
    return started;
  }

  const auth = () => ({ authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" });

  async function create(what: string, prefer = "wait=0") {
    const response = await fetch(`${stack.url}/v1/models/local/single/predictions`, {
      method: "POST",
      headers: { ...auth(), ...(prefer === "wait=0" ? {} : { prefer }) },
      body: JSON.stringify({ input: { do: what } }),
    });
    return PredictionSchema.parse(await response.json());
  }

  async function get(id: string) {
    return PredictionSchema.parse(await (await fetch(`${stack.url}/v1/predictions/${id}`, { headers: auth() })).json());
  }

  it.each<[name: string, flags: Record<string, string>, expected: string]>([
    [
      "an address where nothing listens",
      { "--kv-url": "http://127.0.0.1:1/redis" },
      "--kv-url http://127.0.0.1:1/redis",
    ],
    ["an address of something else", { "--kv-url": "the stack" }, "is not a Redis over REST"],
    ["a wrong token", { "--kv-token": "nobody-0123456789" }, "does not know this token"],
    ["a prefix that is not the token's", { "--kv-prefix": "other:" }, "--kv-prefix other:: the token may not"],
    ["a token that only reads", { "--kv-token": READER_TOKEN }, "or not write at all"],
    ["no address", { "--kv-url": "" }, "--delivery kv needs --kv-url"],
    ["the way that is closed", { "--delivery": "http" }, "start this pool with --delivery kv"],
    [
      "a prefix that the edge doesn't read",
      { "--kv-token": FREE_TOKEN, "--kv-prefix": "other:" },
      "the edge reads keys that begin with `edgeplane:` only",
    ],
    ["another Redis than the edge's", { "--kv-url": "another" }, "the edge reads from another Redis"],
  ])("%s ends the pool at its start, with one line", async (_name, flags, expected) => {
    const other = flags["--kv-url"] === "another" ? await startKv() : null;
    const replaced = other?.url ?? (flags["--kv-url"] === "the stack" ? `${stack.url}/redis` : null);
    const given = replaced === null ? flags : { ...flags, "--kv-url": replaced };
    const wrong = startPool(home, stack.url, stack.poolToken, [...flagsOf(given), "--log-level", "silent"]);
    try {
      expect(await wrong.exited).toBe(2);
      expect(wrong.output()).toContain(expected);
      expect(wrong.output().trim().split("\n")).toHaveLength(1);
    } finally {
      await wrong.kill("SIGKILL");
      await other?.stop();
    }
  });

  it("goes on while the control channel is cut: results, a lease held through Redis, and a cancellation", async () => {
    const running = await start();
    expect(await create("before", "wait=20")).toMatchObject({ status: "succeeded", output: "before" });
    cutter.cut();
    await until(() => running.output().includes("the edge can't be reached"));
    const createdAt = Date.now();
    const long = await create("sleep 18");
    // Its start may have been counted behind the long one, and handed back uncommenced when that went on and on.
    expect(await create("short", "wait=30")).toMatchObject({ status: "succeeded", output: "short" });
    await until(async () => (await get(long.id)).status !== "starting", 10_000);
    await until(async () => (await get(long.id)).status !== "processing", 40_000);
    // The lease is 15 s: without the heartbeat in Redis it would have begun again then. A grant that was on its way
    // while the channel was cut may have been made again at once.
    const ended = await get(long.id);
    expect(ended).toMatchObject({ status: "succeeded" });
    expect(Date.parse(String(ended.completed_at)) - createdAt).toBeLessThan(15_000 + 18_000);
    const doomed = await create("sleep 600");
    await until(async () => (await get(doomed.id)).status === "processing");
    await fetch(`${stack.url}/v1/predictions/${doomed.id}/cancel`, { method: "POST", headers: auth() });
    const port = await running.port();
    await until(async () => /"held":0/.test(await (await fetch(`http://127.0.0.1:${port}/models`)).text()), 15_000);
    cutter.mend();
    expect(await create("after", "wait=20")).toMatchObject({ status: "succeeded", output: "after" });
    const redis = new Redis(kv.redis.url);
    await until(async () => (await redis.keys(`${POOL_PREFIX}*:out`)).length === 0);
    expect(await redis.keys(`${POOL_PREFIX}*:stop`)).toEqual([]);
    redis.disconnect();
    await running.kill("SIGKILL");
  }, 120_000);

  it("asks Redis nothing while nothing runs", async () => {
    const running = await start();
    await create("warm", "wait=20");
    const redis = new Redis(kv.redis.url);
    const calls = async () => {
      const stats = await redis.info("commandstats");
      const counts = [...stats.matchAll(/cmdstat_(\w+).*?calls=(\d+)/g)].filter(([, name]) => name !== "info");
      return counts.reduce((sum, [, , count]) => sum + Number(count), 0);
    };
    // While nothing runs a pool says no more than its beats: the last run's calls end first, then it has two.
    const beats = async (count: number) => {
      const from = cutter.sent();
      await until(() => cutter.sent() >= from + count, 30_000);
    };
    let before = NaN;
    for (let now = await calls(); now !== before; now = await calls()) {
      before = now;
      await beats(1);
    }
    await beats(2);
    expect(await calls()).toBe(before);
    redis.disconnect();
    await running.kill("SIGKILL");
  });

  it("finds the parked result of a pool that is gone", async () => {
    const running = await start();
    const redis = new Redis(kv.redis.url);
    await create("warm", "wait=20");
    cutter.cut();
    await until(() => running.output().includes("the edge can't be reached"));
    const { id } = await create("sleep 2");
    await until(async () => (await get(id)).status === "processing");
    const parked = async () => (await Promise.all((await redis.keys("*:out")).map((key) => redis.hvals(key)))).flat();
    await until(async () => (await parked()).some((body) => body.includes("succeeded")));
    await running.kill("SIGKILL");
    await until(async () => (await get(id)).status === "succeeded");
    expect(await get(id)).toMatchObject({ output: "sleep 2", attempt: 1 });
    redis.disconnect();
  });
});
