/**
 * Real engines for the tests of the bridge, each started on ports that are free, and a bridge in this process in front
 * of them.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { pino } from "pino";
import { startBridge } from "../../../gpu-pool/bridge/server.ts";
import type { Bridge } from "../../../gpu-pool/bridge/server.ts";
import { SettingsSchema } from "../../../gpu-pool/bridge/settings.ts";
import { startCluster, stopCluster } from "../../../scripts/lib/kafka/cluster.ts";
import { portsOf } from "../../../scripts/lib/kafka/properties.ts";
import type { ClusterOptions } from "../../../scripts/lib/kafka/properties.ts";
import { freePort, isFree } from "./ports.ts";

const log = pino({ level: "silent" });

/** Whether a program is on the PATH. In CI a missing one is a failure, not a reason to test less. */
export function hasEngine(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    if (process.env["CI"] === undefined) return false;
    throw new Error(`${program} is not on the PATH, and CI tests with it.`);
  }
}

/** The program that is Redis to the tests: Valkey in vitest's project of that name. */
const redisServer = process.env["EDGEPLANE_TEST_REDIS"] ?? "redis-server";

export const hasJava = hasEngine("java", "-version");
export const hasRedis = hasEngine(redisServer, "--version");

export type TestKafka = {
  options: ClusterOptions;
  brokers: string[];
  saslBroker: string;
  tlsBroker: string;
  restart: () => Promise<void>;
  stopBroker: (id: number) => Promise<void>;
  stop: () => Promise<void>;
};

export async function startKafka(choice: { brokers?: 1 | 3; secure?: boolean } = {}): Promise<TestKafka> {
  const { brokers = 1, secure = false } = choice;
  const dir = await mkdtemp(join(tmpdir(), "edgeplane-kafka-"));
  const options: ClusterOptions = { dir, port: await freeBlock(brokers), brokers, sasl: secure, tls: secure };
  await startCluster(options, () => {});
  const first = portsOf(options.port, 1);
  return {
    options,
    brokers: Array.from({ length: brokers }, (_, index) => `127.0.0.1:${portsOf(options.port, index + 1).plain}`),
    saslBroker: `127.0.0.1:${first.sasl}`,
    tlsBroker: `localhost:${first.tls}`,
    restart: async () => {
      await startCluster(options, () => {});
    },
    stopBroker: async (broker) => {
      await stopCluster(dir, { wipe: false, broker });
    },
    stop: async () => {
      await stopCluster(dir, { wipe: true });
    },
  };
}

export type TestRedis = {
  url: string;
  port: number;
  kill: () => void;
  restart: () => Promise<void>;
  stop: () => Promise<void>;
};

export async function startRedis(): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), "edgeplane-redis-"));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const launch = () =>
    spawn(redisServer, ["--port", String(port), "--dir", dir, "--appendonly", "yes", "--save", ""], {
      stdio: "ignore",
    });
  let child = launch();
  const answers = async () => {
    const probe = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: 200 });
    probe.on("error", () => {});
    await probe.ping();
    probe.disconnect();
  };
  await answers();
  return {
    url,
    port,
    kill: () => child.kill("SIGKILL"),
    restart: async () => {
      child = launch();
      await answers();
    },
    stop: async () => {
      child.kill("SIGKILL");
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A bridge on a free port. `kafka` and `redis` are settings as a file would have them. */
export async function bridgeFor(settings: { kafka?: object; redis?: object }): Promise<Bridge> {
  return startBridge(SettingsSchema.parse({ port: 0, drainMs: 2000, ...settings }), log);
}

/** What the time of a call goes through: the client, the bridge and the engine. */
export const PROCESSES = 3;

/** Tries until `check` is true, or fails after `timeoutMs`. */
export async function until(check: () => Promise<boolean> | boolean, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`It did not come true within ${timeoutMs} ms: ${check.toString()}`);
    await sleep(50);
  }
}

export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Below those that the system gives to connections: one of these may take a port between the look and the start. */
const BLOCK_PORTS = [11_000, 30_000] as const;

async function freeBlock(brokers: number): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const base = randomInt(...BLOCK_PORTS);
    const wanted = Array.from({ length: brokers }, (_, index) => Object.values(portsOf(base, index + 1))).flat();
    if ((await Promise.all(wanted.map(isFree))).every(Boolean)) return base;
  }
  throw new Error("No free ports for a Kafka cluster");
}
