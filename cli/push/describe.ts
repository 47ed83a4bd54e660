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
const FirstSchema = z.union([
  z.object({ problem: z.string() }),
  z.object({ manifest: ManifestSchema, written: z.array(z.string()) }),
]);
const WholeSchema = z.object({ manifest: ManifestSchema, schemaProblem: z.string().nullable() });
/** Why this machine can't tell the schema; null where it can, or was not asked to. */
export type Whole = z.infer<typeof WholeSchema>;

export type Described = {
  /** Paths of files that the model itself wrote. */
  written: string[];
  /** With the schema, which may take the installation of what the model needs. */
  whole: Promise<Whole>;
};

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
  let last = "it said nothing";
  createInterface({ input: child.stderr }).on("line", (line) => {
    last = line;
    say(line);
  });
  child.once("error", (error) => (last = messageOf(error)));
  child.once("close", () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async <T>(schema: z.ZodType<T>): Promise<T> => {
    const { value } = await lines.next();
    signal.throwIfAborted();
    const parsed = schema.safeParse(parseJson(value));
    if (parsed.success) return parsed.data;
    throw new CliError(`the folder could not be read: ${last}`);
  };
  const first = await next(FirstSchema);
  if ("problem" in first) throw new CliError(first.problem, exitCodes.usage, "docs/models.md has all keys.");
  const { written, manifest } = first;
  const whole = withSchema ? next(WholeSchema) : Promise.resolve({ manifest, schemaProblem: null });
  // A push that fails while it sends files never awaits it.
  whole.catch(() => {});
  return { written, whole };
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}
