#!/usr/bin/env node
/**
 * `node gpu-pool/describe.ts FOLDER [--static] [--timeout-s N]`: prints what a pool would tell of a model's folder, as
 * lines of JSON: `{manifest, written}` at once, or `{problem}` where the folder is no model; then, unless `--static`,
 * `{manifest, schemaProblem}` once a process of the model has told its schema, or this machine can't have one. What
 * goes on meanwhile stands on stderr. Exit codes: 0 told; 2 wrong use.
 */
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeFolder } from "./runtime/models/describe-folder.ts";
import type { Description } from "./runtime/models/describe-folder.ts";

const EXIT_WRONG = 2;
/** For what a model needs to be installed: a framework with its CUDA libraries comes within it. */
const TIMEOUT_S = 600;

const { values, positionals } = readArguments();
const [folder = ""] = positionals;
const timeoutS = Number(values["timeout-s"] ?? TIMEOUT_S);
if (positionals.length !== 1 || !(timeoutS > 0)) stopWith("say one folder, and a time above 0");
try {
  const description = await describeFolder(folder);
  const { manifest, written } = description;
  await tell({ manifest, written });
  if (values.static !== true) await tell(await withSchema(description));
} catch (error) {
  await tell({ problem: messageOf(error) });
}
// Timers of the process that is gone would keep this one.
process.exit(0);

async function withSchema({ manifest, cog }: Description): Promise<object> {
  // Not sooner: who waits for the first line waits for no more than it needs.
  const { environmentsFolder } = await import("./runtime/environments/folder.ts");
  const { readSignature } = await import("./runtime/read-signature.ts");
  const { systemClock } = await import("./system-clock.ts");
  try {
    const { schema, streams } = await readSignature(resolve(folder), cog, {
      environmentsDir: environmentsFolder(process.env["EDGEPLANE_ENVIRONMENTS_DIR"], tmpdir()),
      childPath: fileURLToPath(new URL("./python", import.meta.url)),
      childModule: "edgeplane_child",
      clock: systemClock,
      timeoutMs: timeoutS * 1000,
      log: (line) => process.stderr.write(`${line.trimEnd()}\n`),
    });
    return { manifest: { ...manifest, schema, streams }, schemaProblem: null };
  } catch (error) {
    return { manifest, schemaProblem: messageOf(error) };
  }
}

/** Resolves once the reader has it. */
async function tell(line: object): Promise<void> {
  const { promise, resolve: written } = Promise.withResolvers<void>();
  process.stdout.write(`${JSON.stringify(line)}\n`, () => written());
  await promise;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

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
