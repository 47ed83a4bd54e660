/**
 * Gives each model the Python it needs: the plain interpreter when it wants nothing installed, else a virtual
 * environment per Python version and hash of its requirements, shared by all models that want the same and kept in the
 * pool's state folder.
 *
 * State of an environment's folder: absent → building (locked) → complete (has `edgeplane.json`). One without it is
 * built again.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import * as z from "zod";
import { buildEnvironment, pythonOf } from "./builder.ts";
import { type CogYaml, predictorReference } from "./cog-yaml.ts";
import { runCommand } from "./command.ts";
import {
  chooseInterpreter,
  defaultInterpreter,
  findInterpreters,
  type Interpreter,
  probeInterpreter,
  versionOf,
} from "./interpreters.ts";
import { withLock } from "./lock.ts";
import { EnvironmentProblem } from "./problem.ts";
import { readRequirements, type Requirements } from "./requirements.ts";
import { missingSystemPackages } from "./system-packages.ts";
import { bringPython, findUv } from "./uv.ts";

export type PrepareOptions = {
  modelDir: string;
  cog: CogYaml;
  /** The pool's folder for what outlives it; environments lie in `environments/` below it. */
  stateDir: string;
  log: (line: string) => void;
  /** Run `build.run` of models that have it. Off, such a model is refused: its commands would run on the host. */
  allowBuildRun?: boolean;
  /** For installing the requirements; 30 minutes without it. */
  installTimeoutMs?: number;
};

export type PreparedEnvironment = {
  python: string;
  env: Record<string, string>;
  warnings: string[];
  /** What the virtual environment takes on disk; null on the plain interpreter. */
  sizeBytes: number | null;
};

const installTimeoutMs = 30 * 60_000;

const CompleteSchema = z.object({ python: z.string(), sizeBytes: z.number(), builtAt: z.string() });

async function pickInterpreter(options: PrepareOptions, warnings: string[]): Promise<Interpreter> {
  const wanted = options.cog.build.python_version;
  const usual = await defaultInterpreter();
  if (wanted === undefined) {
    if (usual !== null) return usual;
    throw new EnvironmentProblem(
      "No Python 3.8 or newer was found on PATH: install one, or set EDGEPLANE_PYTHON to its path",
    );
  }
  if (usual !== null && chooseInterpreter(wanted, [usual])?.exact === true) return usual;
  const choice = chooseInterpreter(wanted, [...(usual === null ? [] : [usual]), ...(await findInterpreters())]);
  if (choice?.exact === true) return choice.interpreter;
  const brought = await bringPython(wanted, options.log);
  if (brought !== null && "interpreter" in brought) return brought.interpreter;
  const why = brought === null ? "" : `, and uv could not bring it (${brought.why})`;
  if (choice === null)
    throw new EnvironmentProblem(`No Python was found; the model wants ${wanted}${why}: install it, or install uv`);
  warnings.push(
    `the model wants Python ${wanted}, which is not here${why}; it runs on ${versionOf(choice.interpreter)}`,
  );
  return choice.interpreter;
}

async function sizeOf(dir: string): Promise<number> {
  const result = await runCommand("du", ["-sk", dir], { timeoutMs: 30_000 });
  return Number(/^(\d+)/.exec(result.stdout)?.[1] ?? 0) * 1024;
}

/** What is known of an environment that is whole and runs; null for any other. */
async function completeOf(dir: string): Promise<z.infer<typeof CompleteSchema> | null> {
  const text = await readFile(join(dir, "edgeplane.json"), "utf8").catch(() => null);
  if (text === null) return null;
  const complete = CompleteSchema.safeParse(parsed(text));
  return complete.success && (await probeInterpreter(pythonOf(dir))) !== null ? complete.data : null;
}

/** A file that was cut short is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Builds it unless it is there; returns its size in bytes. */
async function ensureBuilt(
  dir: string,
  interpreter: Interpreter,
  requirements: Requirements,
  options: PrepareOptions,
): Promise<number> {
  const there = await completeOf(dir);
  if (there !== null) return there.sizeBytes;
  const { log } = options;
  return withLock(
    `${dir}.lock`,
    () => log("another pool builds this environment; waiting for it"),
    async () => {
      const meanwhile = await completeOf(dir);
      if (meanwhile !== null) return meanwhile.sizeBytes;
      const beganAt = Date.now();
      await rm(dir, { recursive: true, force: true });
      const uv = await findUv();
      log(
        `building an environment for Python ${versionOf(interpreter)} with ${uv === null ? "pip" : "uv"}: ${requirements.lines.length} requirements`,
      );
      const timeoutMs = options.installTimeoutMs ?? installTimeoutMs;
      try {
        await buildEnvironment({ dir, interpreter, requirements, uv, log, timeoutMs });
      } catch (error) {
        await rm(dir, { recursive: true, force: true });
        throw error;
      }
      const sizeBytes = await sizeOf(dir);
      const complete: z.infer<typeof CompleteSchema> = {
        python: versionOf(interpreter),
        sizeBytes,
        builtAt: new Date().toISOString(),
      };
      await writeFile(join(dir, "edgeplane.json"), JSON.stringify(complete) + "\n");
      log(
        `the environment is ready: ${Math.round(sizeBytes / 1e6)} MB in ${((Date.now() - beganAt) / 1000).toFixed(1)} s`,
      );
      return sizeBytes;
    },
  );
}

function modelEnv(cog: CogYaml): Record<string, string> {
  const env: Record<string, string> = {};
  for (const pair of cog.environment ?? []) {
    const at = pair.indexOf("=");
    env[pair.slice(0, at)] = pair.slice(at + 1);
  }
  const reference = predictorReference(cog);
  if (reference !== undefined) env["EDGEPLANE_MODEL_REF"] = reference;
  if (cog.concurrency?.max !== undefined) env["COG_MAX_CONCURRENCY"] = String(cog.concurrency.max);
  return env;
}

/**
 * The interpreter and the environment variables for a model's process, and warnings to show. Fast when nothing is to be
 * installed or all of it is there. Throws EnvironmentProblem, whose message says what to do; nothing half-built stays
 * behind.
 */
export async function prepareEnvironment(options: PrepareOptions): Promise<PreparedEnvironment> {
  const { cog } = options;
  const warnings: string[] = [];
  const missing = await missingSystemPackages(cog.build.system_packages ?? []);
  if (missing !== null) warnings.push(missing);
  const requirements = await readRequirements(options.modelDir, cog);
  if (requirements.buildCommands.length > 0 && options.allowBuildRun !== true) {
    throw new EnvironmentProblem(
      "cog.yaml has build.run, which would run commands on this host; the pool refuses it unless it was started with build.run allowed",
    );
  }
  const plain = requirements.lines.length === 0 && requirements.buildCommands.length === 0;
  const interpreter = await pickInterpreter(options, warnings);
  const env = modelEnv(cog);
  if (plain) return { python: interpreter.path, env, warnings, sizeBytes: null };
  const name = `${interpreter.major}.${interpreter.minor}-${requirements.hash.slice(0, 24)}`;
  const dir = join(options.stateDir, "environments", name);
  const sizeBytes = await ensureBuilt(dir, interpreter, requirements, options);
  env["VIRTUAL_ENV"] = dir;
  env["PATH"] = `${join(dir, "bin")}${delimiter}${process.env["PATH"] ?? ""}`;
  return { python: pythonOf(dir), env, warnings, sizeBytes };
}
