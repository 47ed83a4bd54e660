/**
 * Attacks the local stack with Schemathesis by its own document: examples, coverage, fuzzing and stateful, first with
 * keys, then without. `node test/schemathesis/run.ts [--seconds N] [--seed N]`; `st` must be on the PATH.
 * schemathesis.toml says what is excepted, and why.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "../../scripts/lib/command.ts";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";

const HELP = `Usage: node test/schemathesis/run.ts [--seconds N] [--seed N]

  --seconds N  how long to attack in all (150); a fifth of it goes without a key
  --seed N     the seed of what is made up. Without it, the document's hash is: the same API is attacked with the same
               cases, and each change of it draws others. What follows from answers, and how far the time goes, varies`;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "150" },
    seed: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const WITHOUT_KEY_SHARE = 0.2;
/** What a run may take beyond its time: starting, and the first phases, which aren't cut. */
const GRACE_MS = 240_000;
/** Of a run that failed without telling what it found, so much. */
const UNTOLD_CHARS = 1500;

type Target = { stack: Stack; seed: string; folder: string };

/** One run; what it found, null for nothing. */
async function attack({ stack, seed, folder }: Target, config: string, seconds: number): Promise<string | null> {
  const args = [
    `--config-file=${join(import.meta.dirname, config)}`,
    "run",
    `${stack.url}/openapi.json`,
    `--seed=${seed}`,
    `--max-time=${seconds}`,
    `--report=junit`,
    `--report-dir=${folder}`,
  ];
  const { code, output } = await runCommand(["st", ...args], {
    echo: true,
    timeoutMs: seconds * 1000 + GRACE_MS,
    env: {
      EDGEPLANE_API_KEY: stack.apiKey,
      EDGEPLANE_ADMIN_KEY: stack.adminKey,
      EDGEPLANE_POOL_TOKEN: stack.poolToken,
    },
  });
  if (code === 0) return null;
  return /^=+ (?:FAILURES|ERRORS) =+$.*?(?=^=+ SUMMARY)/ms.exec(output)?.[0] ?? output.slice(-UNTOLD_CHARS);
}

async function seedOf(stack: Stack): Promise<string> {
  const answer = await fetch(`${stack.url}/openapi.json`);
  if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
  const digest = createHash("sha256")
    .update(new Uint8Array(await answer.arrayBuffer()))
    .digest();
  return String(digest.readUInt32BE());
}

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-schemathesis-"));
  const lines: string[] = [];
  const stack = await startStack({
    offline: true,
    stateDir: join(folder, "state"),
    vars: { PUBLISH_TOPICS: "results,usage,jobs.dlq" },
    say: (line) => lines.push(line),
  });
  try {
    await helloThrough(stack);
    const seconds = Number(values.seconds);
    const bare = Math.max(10, Math.round(seconds * WITHOUT_KEY_SHARE));
    const target = { stack, folder, seed: values.seed ?? (await seedOf(stack)) };
    console.log(`── with keys, seed ${target.seed}`);
    const keyed = await attack(target, "schemathesis.toml", seconds - bare);
    console.log("── without a key");
    const open = await attack(target, "without-key.toml", bare);
    const failures = lines.filter((line) => line.includes("request_failed"));
    if (keyed !== null) console.log(`── found with keys\n${keyed}`);
    if (open !== null) console.log(`── found without a key\n${open}`);
    if (failures.length > 0) console.log(`The edge logged failures:\n${failures.slice(0, 20).join("\n")}`);
    return keyed === null && open === null && failures.length === 0 ? 0 : 1;
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (values.help) console.log(HELP);
else process.exitCode = await main();
