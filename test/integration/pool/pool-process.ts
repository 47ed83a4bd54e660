/** Starts the real pool program for a test, with models written for it, and ends what it started. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pythonCache } from "../../python-cache.ts";
import type { ModelRef } from "../../../src/contract/prediction.ts";
import { versionOf } from "../../../gpu-pool/runtime/models/folder-version.ts";

const MAIN = fileURLToPath(new URL("../../../gpu-pool/main.ts", import.meta.url));

export type ModelFiles = Record<string, string>;

export type PoolHome = { root: string; models: string; state: string; remove(): void };

/** A folder with models (name → file → text) and a state folder. */
export function makeHome(models: Record<string, ModelFiles>): PoolHome {
  const root = mkdtempSync(join(tmpdir(), "edgeplane-pool-"));
  for (const [name, files] of Object.entries(models)) {
    for (const [file, text] of Object.entries(files)) {
      const path = join(root, "models", name, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }
  mkdirSync(join(root, "models"), { recursive: true });
  const state = join(root, "state");
  return { root, models: join(root, "models"), state, remove: () => rmSync(root, { recursive: true, force: true }) };
}

export async function refOf(home: PoolHome, name: string): Promise<ModelRef> {
  return { owner: "local", name, version: await versionOf(join(home.models, name)) };
}

export type RunningPool = {
  process: ChildProcess;
  output(): string;
  exited: Promise<number | null>;
  /** The local port, once it is printed. */
  port(): Promise<number>;
  kill(signal: NodeJS.Signals): Promise<number | null>;
};

export function startPool(
  home: PoolHome,
  url: string,
  token: string,
  flags: string[] = [],
  env: Record<string, string> = {},
  main = MAIN,
): RunningPool {
  const args = ["--url", url, "--models", home.models, "--state-dir", home.state, "--metrics-port", "0"];
  const child = spawn(process.execPath, [main, ...args, ...flags], {
    // Many of the tests' models read and write beside their folders; flags say otherwise where isolation is tested.
    env: {
      ...process.env,
      ...pythonCache,
      EDGEPLANE_POOL_TOKEN: token,
      EDGEPLANE_PREEMPTION: "off",
      EDGEPLANE_DEVICE_CHECK: "off",
      EDGEPLANE_ISOLATION: "off",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (part: string) => (text += part));
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return {
    process: child,
    output: () => text,
    exited,
    async port() {
      for (let tries = 0; tries < 500; tries += 1) {
        const [, port] = /"metricsPort":(\d+)/.exec(text) ?? [];
        if (port !== undefined) return Number(port);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`the pool printed no port:\n${text}`);
    },
    async kill(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return exited;
    },
  };
}
