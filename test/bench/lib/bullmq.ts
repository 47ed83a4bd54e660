/**
 * The peer: BullMQ on a Redis that syncs every write to disk, behind Hono; API and worker are processes of their own.
 */
import { execFileSync, fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const benchFolder = fileURLToPath(new URL("..", import.meta.url));

export type Peer = {
  url: string;
  apiKey: string;
  pids: Record<"redis" | "api" | "worker", number>;
  stop(): Promise<void>;
};

/** Installs the peers' packages, unless `needed` is there. */
export function installPeers(needed = "bullmq"): void {
  if (existsSync(join(benchFolder, "node_modules", needed))) return;
  execFileSync("npm", ["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"], {
    cwd: benchFolder,
    stdio: "inherit",
  });
}

/**
 * Starts redis-server, the worker and the API on three ports from `port` on. `POST /run` waits for the result, `POST
 * /add` doesn't.
 */
export async function startBullmq(port: number): Promise<Peer> {
  installPeers();
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-bench-redis-"));
  const redisOptions = ["--port", String(port + 1), "--bind", "127.0.0.1", "--dir", folder];
  const redis = spawn(
    "redis-server",
    [...redisOptions, "--appendonly", "yes", "--appendfsync", "always", "--save", ""],
    {
      stdio: "ignore",
    },
  );
  await answering(port + 1);
  const apiKey = `peer_${crypto.randomUUID()}`;
  const env = {
    ...process.env,
    NODE_ENV: "production",
    PEER_PORT: String(port),
    PEER_REDIS_PORT: String(port + 1),
    PEER_KEY: apiKey,
  };
  const start = (script: string) =>
    fork(fileURLToPath(new URL(script, import.meta.url)), [], {
      env,
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
  const worker = start("bullmq-worker.mjs");
  const api = start("bullmq-api.mjs");
  await answering(port);
  const children: ChildProcess[] = [api, worker, redis];
  return {
    url: `http://127.0.0.1:${port}`,
    apiKey,
    pids: { redis: redis.pid ?? 0, api: api.pid ?? 0, worker: worker.pid ?? 0 },
    async stop() {
      for (const child of children) {
        const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
        child.kill("SIGKILL");
        await gone;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answering(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = createConnection({ port, host: "127.0.0.1" }, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing answers on port ${port}`);
}
