#!/usr/bin/env node
/**
 * `node gpu-pool/describe.ts FOLDER [--static] [--timeout-s N]`: prints what a pool would tell of a model's folder, as
 * one line of JSON: `{manifest, written, schemaProblem}`, or `{problem}` where the folder is no model. `--static` runs
 * nothing, and leaves the schema out. What goes on meanwhile stands on stderr. Exit codes: 0 told; 2 wrong use.
 */
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeFolder } from "./runtime/describe-folder.ts";
import { environmentsFolder } from "./runtime/environments/folder.ts";
import { systemClock } from "./system-clock.ts";

const EXIT_WRONG = 2;
/** For what a model needs to be installed: a framework with its CUDA libraries comes within it. */
const TIMEOUT_S = 600;

const { values, positionals } = readArguments();
const [folder = ""] = positionals;
const timeoutS = Number(values["timeout-s"] ?? TIMEOUT_S);
if (positionals.length !== 1 || !(timeoutS > 0)) stopWith("say one folder, and a time above 0");
const told = await describeFolder(folder, {
  withSchema: values.static !== true,
  environmentsDir: environmentsFolder(process.env["EDGEPLANE_ENVIRONMENTS_DIR"], tmpdir()),
  childPath: fileURLToPath(new URL("./python", import.meta.url)),
  childModule: "edgeplane_child",
  clock: systemClock,
  timeoutMs: timeoutS * 1000,
  log: (line) => process.stderr.write(`${line.trimEnd()}\n`),
}).catch((error: unknown) => ({ problem: error instanceof Error ? error.message : String(error) }));
// Timers of the process that is gone would keep this one.
process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit(0));

function readArguments() {
  try {
    const options = { static: { type: "boolean" }, "timeout-s": { type: "string" } } as const;
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return stopWith(error instanceof Error ? error.message : String(error));
  }
}

function stopWith(problem: string): never {
  process.stderr.write(`describe: ${problem}\n`);
  process.exit(EXIT_WRONG);
}
