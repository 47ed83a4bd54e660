/**
 * The bridge as a process in front of a Redis that is away, that is killed under load, and with a disk that is full.
 */
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis as Native } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { hasRedis, startRedis, until } from "../bridge/engines.ts";
import { freePort } from "../bridge/ports.ts";

const TOKEN = "full-token-0123456789";
const WRITES = 2000;
const WRITERS = 8;

describe.runIf(hasRedis)("bridge process, Redis door", () => {
  const running: (() => Promise<void> | void)[] = [];

  afterEach(async () => {
    for (const stop of running.splice(0).toReversed()) await stop();
  });

  async function launch(redisUrl: string, options: { stdout?: number; flags?: string[] } = {}) {
    const port = await freePort();
    const child = spawn(process.execPath, ["gpu-pool/bridge/main.ts", ...(options.flags ?? [])], {
      stdio: ["ignore", options.stdout ?? "pipe", "pipe"],
      env: {
        ...{ PATH: process.env["PATH"] ?? "", BRIDGE_PORT: String(port), BRIDGE_REDIS_URL: redisUrl },
        BRIDGE_REDIS_TOKENS: JSON.stringify([{ token: TOKEN }]),
      },
    });
    running.push(() => void child.kill("SIGKILL"));
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const exited = new Promise<number | null>((resolve) => child.on("exit", resolve));
    return { port, child, exited, output: () => output };
  }

  async function call(port: number, path: string, body?: readonly string[]) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${TOKEN}` },
      signal: AbortSignal.timeout(5000),
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    }).catch(() => null);
    const text = (await response?.text().catch(() => "")) ?? "";
    return { status: response?.status ?? 0, text };
  }

  it("says what is wrong with --check", async () => {
    const nowhere = await launch("redis://127.0.0.1:1", { flags: ["--check"] });
    expect(await nowhere.exited).toBe(1);
    expect(nowhere.output()).toMatch(/Redis can't be reached \(redis\.url\).*ECONNREFUSED/);
    const redis = await startRedis();
    running.push(redis.stop);
    const refused = await launch(redis.url.replace("redis://", "redis://nobody:wrong@"), { flags: ["--check"] });
    expect(await refused.exited).toBe(1);
    expect(refused.output()).toMatch(/Redis refused the bridge's user or password \(redis\.url\)/);
    const good = await launch(redis.url, { flags: ["--check"] });
    expect(await good.exited).toBe(0);
  });

  it("serves while Redis is away at start, and goes on when it comes", async () => {
    const redis = await startRedis();
    running.push(redis.stop);
    redis.kill();
    const { port, child } = await launch(redis.url);
    await until(async () => (await call(port, "/healthz")).status === 503);
    expect((await call(port, "/healthz")).text).toMatch(/Redis can't be reached/);
    expect(await call(port, "/redis", ["GET", "k"])).toMatchObject({ status: 503 });
    await redis.restart();
    await until(async () => (await call(port, "/healthz")).status === 200);
    expect(await call(port, "/redis", ["SET", "k", "v"])).toMatchObject({ status: 200 });
    expect(child.exitCode).toBeNull();
  });

  it("answers as ever while the disk that its log goes to is full", async () => {
    const redis = await startRedis();
    running.push(redis.stop);
    const { port, child } = await launch(redis.url, { stdout: openSync("/dev/full", "w") });
    await until(async () => (await call(port, "/healthz")).status === 200);
    expect(await call(port, "/redis", ["SET", "k", "v"])).toMatchObject({ status: 200 });
    redis.kill();
    // Each refusal is a line in the log.
    for (let round = 0; round < 5; round++) {
      await until(async () => (await call(port, "/redis", ["GET", "k"])).status === 503);
    }
    await redis.restart();
    await until(async () => (await call(port, "/redis", ["GET", "k"])).text === '{"result":"v"}');
    expect(child.exitCode).toBeNull();
  });

  it("loses no write that it answered when Redis is killed three times under load", async () => {
    const redis = await startRedis();
    running.push(redis.stop);
    const { port } = await launch(redis.url);
    await until(async () => (await call(port, "/healthz")).status === 200);
    let next = 0;
    let failed = 0;
    const write = async () => {
      while (next < WRITES) {
        const index = next++;
        while ((await call(port, "/redis", ["SET", `k${index}`, String(index)])).status !== 200) {
          failed += 1;
          await sleep(20);
        }
      }
    };
    const load = Promise.all(Array.from({ length: WRITERS }, write));
    for (const share of [0.2, 0.5, 0.8]) {
      await until(() => next > WRITES * share);
      const before = failed;
      redis.kill();
      await until(() => failed > before);
      await redis.restart();
    }
    await load;
    const native = new Native(redis.url);
    const keys = Array.from({ length: WRITES }, (_, index) => `k${index}`);
    const found = await native.mget(keys);
    native.disconnect();
    console.log(`Redis killed three times: ${WRITES} writes answered, ${failed} calls failed and were made again`);
    expect(found.flatMap((value, index) => (value === String(index) ? [] : [index]))).toEqual([]);
    expect(failed).toBeGreaterThan(0);
  });
});
