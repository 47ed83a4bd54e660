/**
 * What a pool would tell of a folder: asked of the pool's own program, which runs the model's own code in a process of
 * its own (`gpu-pool/describe.ts`).
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { CliError, exitCodes, messageOf } from "../errors.ts";

const PROGRAM = fileURLToPath(new URL("../../gpu-pool/describe.ts", import.meta.url));
/** For the installation of what a model needs, and again for its import. */
const TIMEOUT_S = 600;
const LIMIT_MS = 2 * TIMEOUT_S * 1000 + 30_000;
const KILL_MS = 2000;

const ManifestSchema = z.looseObject({ schema: z.record(z.string(), z.unknown()).nullable() });
const ToldSchema = z.union([
  z.object({ manifest: ManifestSchema, written: z.array(z.string()), schemaProblem: z.string().nullable() }),
  z.object({ problem: z.string() }),
]);
export type Described = Exclude<z.infer<typeof ToldSchema>, { problem: string }>;

export type DescribeOptions = {
  withSchema: boolean;
  env: Record<string, string | undefined>;
  signal: AbortSignal;
  /** Hears what goes on. */
  say(line: string): void;
};

/** Throws a `CliError` where the folder is no model. */
export async function describe(dir: string, { withSchema, env, signal, say }: DescribeOptions): Promise<Described> {
  const args = [PROGRAM, dir, ...(withSchema ? ["--timeout-s", String(TIMEOUT_S)] : ["--static"])];
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const end = (): void => {
    child.kill("SIGTERM");
    void sleep(KILL_MS, undefined, { ref: false }).then(() => child.kill("SIGKILL"));
  };
  const timer = setTimeout(end, LIMIT_MS);
  signal.addEventListener("abort", end, { once: true });
  let text = "";
  let last = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  createInterface({ input: child.stderr }).on("line", (line) => {
    last = line;
    say(line);
  });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once("close", () => resolve()).once("error", reject);
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
  signal.throwIfAborted();
  const told = parse(text, last);
  if (!("problem" in told)) return told;
  throw new CliError(told.problem, exitCodes.usage, "docs/models.md has all keys.");
}

function parse(text: string, last: string): z.infer<typeof ToldSchema> {
  try {
    return ToldSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new CliError(`the folder could not be read: ${last === "" ? messageOf(error) : last}`);
  }
}
