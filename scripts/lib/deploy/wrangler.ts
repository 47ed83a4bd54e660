/** Runs the pinned wrangler without a terminal, and reads what it says. */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { explain, isPassing } from "./explain.ts";

const program = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
/** Before a command is run again that failed for a reason that passes; twice at most. */
const PAUSES_MS = [2_000, 10_000];

export type Ran = { code: number; stdout: string; output: string };
export type Wrangler = {
  /** Runs a command to its end, whatever that is. */
  try(args: readonly string[], env?: Record<string, string>): Promise<Ran>;
  /** Answers what it wrote to stdout. Throws `DeployError` with the reason when it fails. */
  run(args: readonly string[], env?: Record<string, string>): Promise<string>;
};

export type WranglerOptions = {
  /** Hears that a command is run again, and why. */
  say: (line: string) => void;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  pausesMs?: readonly number[];
};

/** Every command is one that may be run twice: what failed for a reason that passes is run again. */
export function createWrangler({ say, env, signal, pausesMs = PAUSES_MS }: WranglerOptions): Wrangler {
  const attempt = async (args: readonly string[], more: Record<string, string> = {}): Promise<Ran> => {
    for (const pauseMs of pausesMs) {
      const ran = await spawnWrangler(args, { ...env, ...more }, signal);
      if (ran.code === 0 || !isPassing(ran.output)) return ran;
      say(`Cloudflare didn't answer as it should (${explain(ran.output).message}); once more in ${pauseMs / 1000} s`);
      await sleep(pauseMs, undefined, { signal });
    }
    return spawnWrangler(args, { ...env, ...more }, signal);
  };
  return {
    try: attempt,
    async run(args, more) {
      const ran = await attempt(args, more);
      if (ran.code !== 0) throw explain(ran.output);
      return ran.stdout;
    },
  };
}

function spawnWrangler(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const child = spawn(process.execPath, [program, ...args], {
    // CI: it asks nobody.
    env: { ...env, CI: "1", NO_COLOR: "1", FORCE_COLOR: "0", WRANGLER_SEND_METRICS: "false" },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGTERM",
  });
  let stdout = "";
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    stdout += part;
    output += part;
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => (output += part));
  child.once("error", reject);
  child.once("close", (code) => resolve({ code: code ?? 1, stdout, output }));
  return promise;
}
