/**
 * One scenario's world: a stack of its own with the models of this folder, what its processes say, and the levers that
 * break it.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Say } from "../../../scripts/lib/log-lines.ts";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack, StackOptions } from "../../../scripts/lib/stack.ts";
import type { LogAccess } from "../../../scripts/lib/usage-sink/reader.ts";
import { notingIn, readHeldRuns, runsByKey } from "./held-devices.ts";
import type { HeldRun } from "./held-devices.ts";
import { openUsageRecords } from "./usage-records.ts";
import type { UsageRecords } from "./usage-records.ts";

const TEMP = process.env["CHAOS_TMPDIR"] ?? tmpdir();
const LINES_KEPT = 400;
const UP_MS = 60_000;
/** Each waits 100 ms longer than the one before: 5.5 s in all. */
const REMOVE_TRIES = 10;

export const modelsDir = fileURLToPath(new URL("../models", import.meta.url));

export type World = {
  stack: Stack;
  dir: string;
  /** The folder of its models. */
  models: string;
  /** What every pool of this world gets in its environment, and where its lines go. */
  poolEnv: Record<string, string>;
  say: Say;
  /** What its meters told since it began. */
  usage: UsageRecords;
  /** The runs as the models noted them. */
  held(): HeldRun[];
  /** The runs of each key, each its process and its time. */
  runs(): Map<string, string[]>;
  /** Resolves with the time (ms since the epoch) at which a line matched `pattern`, among those said after `since`. */
  said(pattern: RegExp, since: number, limitMs?: number): Promise<number>;
  /** The last lines that the processes said. */
  lastLines(count: number): string[];
  /** Kills the model processes of the stack's pool. */
  killModels(): void;
  /**
   * Sets the lane's test faults; `{}` heals it. Answers how often those before have struck; null: the lane has died of
   * them, or of something else.
   */
  setLaneFaults(faults: object): Promise<number | null>;
  end(): Promise<void>;
};

/** Brings a stack up with a pool that has started `model`. */
export async function createWorld(model: string, options: Partial<StackOptions> = {}): Promise<World> {
  mkdirSync(TEMP, { recursive: true });
  const dir = mkdtempSync(join(TEMP, "edgeplane-chaos-"));
  const runsFile = join(dir, "runs");
  const lines: { at: number; text: string }[] = [];
  const poolEnv = {
    ...notingIn(runsFile),
    EDGEPLANE_DRAIN_TIMEOUT_MS: "2000",
    // Its models count their runs in a file that all share.
    EDGEPLANE_ISOLATION: "off",
    ...options.poolEnv,
  };
  const say: Say = (text) => {
    lines.push({ at: Date.now(), text });
    if (process.env["CHAOS_VERBOSE"] === "1") console.log(text);
  };
  const stack = await startStack({
    offline: true,
    stateDir: join(dir, "state"),
    models: modelsDir,
    allowLoopback: true,
    ...options,
    vars: { LOCAL_FAULTS: "1", PUBLISH_TOPICS: "usage", ...options.vars },
    poolEnv,
    say,
  });
  const ownLog = ownLogOf(options.vars);
  const usage = await openUsageRecords(ownLog ?? stack.kafka, ownLog === null ? "oldest" : "end");
  const world: World = {
    stack,
    dir,
    models: options.models ?? modelsDir,
    poolEnv,
    say,
    usage,
    held: () => readHeldRuns(runsFile),
    runs: () => runsByKey(readHeldRuns(runsFile)),
    async said(pattern, since, limitMs = UP_MS) {
      const giveUpAt = Date.now() + limitMs;
      for (let seen = 0; Date.now() < giveUpAt; await sleep(5)) {
        const found = lines.slice(seen).find(({ at, text }) => at >= since && pattern.test(text));
        if (found !== undefined) return found.at;
        seen = lines.length;
      }
      throw new Error(`no process said ${pattern} within ${limitMs} ms`);
    },
    lastLines: (count) => lines.slice(-Math.min(count, LINES_KEPT)).map(({ text }) => text),
    killModels() {
      const { pool } = stack.pids();
      if (pool !== null) for (const pid of modelsOf(pool)) process.kill(pid, "SIGKILL");
    },
    async setLaneFaults(faults) {
      const response = await fetch(`${stack.url}/admin/v1/faults`, {
        method: "PUT",
        headers: { authorization: `Bearer ${stack.adminKey}`, "content-type": "application/json" },
        body: JSON.stringify({ lane: "default", ...faults }),
      });
      if (!response.ok) throw new Error(`the faults were refused with ${response.status}: ${await response.text()}`);
      const { struck } = (await response.json()) as { struck: number | null };
      return struck;
    },
    async end() {
      await stack.stop();
      // A process that was killed may still write its last file.
      rmSync(dir, { recursive: true, force: true, maxRetries: REMOVE_TRIES });
    },
  };
  try {
    await warmUp(stack, model);
  } catch (error) {
    await world.end();
    throw error;
  }
  return world;
}

/** Where the log of an operator's own is, which outlives a world; null: it is the edge's. */
function ownLogOf({ LOG_URL: url, LOG_USERNAME, LOG_PASSWORD }: StackOptions["vars"] = {}): LogAccess | null {
  return url === undefined ? null : { url, username: LOG_USERNAME ?? "", password: LOG_PASSWORD ?? "" };
}

/** Runs one prediction of `model`, so that its process is up. */
async function warmUp(stack: Stack, model: string): Promise<void> {
  const giveUpAt = Date.now() + UP_MS;
  for (;;) {
    const response = await fetch(`${stack.url}/v1/predictions`, {
      method: "POST",
      headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "wait=30" },
      body: JSON.stringify({ version: `local/${model}`, input: { key: "warm-up", number: 1 } }),
    });
    const text = await response.text();
    if (response.ok && text.includes('"status":"succeeded"')) return;
    if (response.status !== 404 || Date.now() > giveUpAt) throw new Error(`${model} doesn't run: ${text}`);
    await sleep(50);
  }
}

function modelsOf(poolPid: number): number[] {
  const table = execFileSync("ps", ["-Ao", "pid=,ppid=,args="], { encoding: "utf8" });
  return table.split("\n").flatMap((line) => {
    const [, pid, parent] = /^\s*(\d+)\s+(\d+)\s.*edgeplane_child/.exec(line) ?? [];
    return pid !== undefined && Number(parent) === poolPid ? [Number(pid)] : [];
  });
}
