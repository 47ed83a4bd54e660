/**
 * Gives each model the Python it needs: the plain interpreter when it wants nothing installed, else a virtual
 * environment per Python version and hash of its requirements, shared by all models and pools of the host that want the
 * same (store.ts).
 */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { buildEnvironment, createBareEnvironment, pythonOf } from "./builder.ts";
import { type CogYaml, predictorReference } from "./cog-yaml.ts";
import { collectEnvironments } from "./collect.ts";
import { isDiskFull } from "./disk-full.ts";
import {
  chooseInterpreter,
  defaultInterpreter,
  findInterpreters,
  type Interpreter,
  probeInterpreter,
  versionOf,
} from "./interpreters.ts";
import { type LayerWish, wishOf } from "./layer-key.ts";
import type { Layers } from "./layers.ts";
import { DiskFull, EnvironmentProblem } from "./problem.ts";
import { keepWithin, megabytes } from "./keeping.ts";
import { readRequirements, type Requirements } from "./requirements.ts";
import { holdBuild, takeEnvironment, type Used, useEnvironment } from "./store.ts";
import { ensureSystemPackages } from "./system-packages.ts";
import { bringPython, findUv } from "./uv.ts";

export type PrepareOptions = {
  modelDir: string;
  cog: CogYaml;
  /** Where all pools of the host keep environments. */
  environmentsDir: string;
  /** What they may take on disk in all; without it nothing is taken away unless the disk is full. */
  budgetBytes?: number;
  log: (line: string) => void;
  /** Run `build.run` of models that have it. Off, such a model is refused: its commands would run on the host. */
  allowBuildRun?: boolean;
  /** Install `build.system_packages` that the host lacks, as root. Off, such a model is refused. */
  allowSystemPackages?: boolean;
  /** For installing the requirements; 30 minutes without it. */
  installTimeoutMs?: number;
  /**
   * Where other hosts' environments are, whose models it is for, and what this host has. Without it all are built here.
   */
  others?: { layers: Layers; owner: string; cuda: string | null; gpus: readonly string[] };
};

export type PreparedEnvironment = {
  python: string;
  env: Record<string, string>;
  warnings: string[];
  /** What the virtual environment takes on disk; null on the plain interpreter. */
  sizeBytes: number | null;
  /** Another host built it. */
  isUnpacked: boolean;
  /** Nothing of it runs any more: until then no pool of the host takes the environment away. */
  release(): void;
};

const installTimeoutMs = 30 * 60_000;

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

/**
 * The environment as another host has built it, for models of this owner alone; null where there is none, or it can't
 * be had.
 */
async function unpack(
  name: string,
  interpreter: Interpreter,
  wish: LayerWish,
  layers: Layers,
  { environmentsDir: root, log, budgetBytes }: PrepareOptions,
): Promise<Used | null> {
  const startedAt = performance.now();
  const own = ownName(name, wish);
  const here = await takeEnvironment(root, own);
  const stored = here === null ? await layers.find(wish) : null;
  if (stored === null) return here;
  try {
    return await useEnvironment(root, own, {
      onWait: () => log("another pool unpacks this environment; waiting for it"),
      async build(dir) {
        log(`fetching the environment, as another host has built it: ${megabytes(stored.bytes)}`);
        await createBareEnvironment(dir, interpreter, await findUv());
        await stored.unpack(dir, log);
        if ((await probeInterpreter(pythonOf(dir))) === null) throw new Error("its Python doesn't run here");
        return versionOf(interpreter);
      },
      async onBuilt(sizeBytes) {
        log(`the environment is unpacked: ${megabytes(sizeBytes)} in ${secondsSince(startedAt)}`);
        if (budgetBytes !== undefined) await keepWithin(root, budgetBytes, log);
      },
    });
  } catch (error) {
    log(`the stored environment can't be used (${error instanceof Error ? error.message : String(error)})`);
    return null;
  }
}

/** Of what another host built, models of other owners have nothing: its host may not be theirs. */
function ownName(name: string, { owner, key }: LayerWish): string {
  return `${name}-${createHash("sha256").update(`${owner}\n${key}`).digest("hex").slice(0, 12)}`;
}

const secondsSince = (startedAt: number): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;

/** What is built here, what another host built, or else it is built now. */
async function ensure(
  name: string,
  interpreter: Interpreter,
  requirements: Requirements,
  options: PrepareOptions,
): Promise<Used & { isUnpacked: boolean }> {
  const { others, cog, environmentsDir: root } = options;
  const { build } = cog;
  const wish =
    others === undefined
      ? null
      : await wishOf(others.owner, requirements, { ...others, modelDir: options.modelDir, interpreter, build });
  if (others !== undefined && wish !== null && "why" in wish) {
    others.layers.keepHere(wish.why);
    options.log(`each host builds this environment by itself: ${wish.why}`);
  }
  if (others === undefined || wish === null || "why" in wish)
    return { ...(await ensureBuilt(name, interpreter, requirements, options)), isUnpacked: false };
  const here = await takeEnvironment(root, name);
  const unpacked = here === null ? await unpack(name, interpreter, wish, others.layers, options) : null;
  if (unpacked !== null) return { ...unpacked, isUnpacked: true };
  const used = here ?? (await ensureBuilt(name, interpreter, requirements, options));
  const { dir, note } = used;
  const builtAtMs = Date.parse(note.builtAt);
  others.layers.offer(wish, { dir, builtAtMs, buildMs: note.buildMs, hold: () => holdBuild(dir) });
  return { ...used, isUnpacked: false };
}

/** Builds it unless it is there. A disk that is full is cleared of what nobody uses, and tried once more. */
async function ensureBuilt(
  name: string,
  interpreter: Interpreter,
  requirements: Requirements,
  options: PrepareOptions,
): Promise<Used> {
  const { log, environmentsDir: root } = options;
  const timeoutMs = options.installTimeoutMs ?? installTimeoutMs;
  const beganAt = performance.now();
  const build = async (dir: string): Promise<string> => {
    const uv = await findUv();
    log(
      `building an environment for Python ${versionOf(interpreter)} with ${uv === null ? "pip" : "uv"}: ${requirements.lines.length} requirements`,
    );
    await buildEnvironment({ dir, interpreter, requirements, uv, log, timeoutMs });
    return versionOf(interpreter);
  };
  return useEnvironment(root, name, {
    onWait: () => log("another pool builds this environment; waiting for it"),
    async build(dir) {
      try {
        return await build(dir);
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        await rm(dir, { recursive: true, force: true });
        const { removed } = await collectEnvironments(root, 0);
        if (removed === 0) throw error instanceof DiskFull ? error : new DiskFull(dir, String(error));
        log(`the disk is full; ${removed} environments that nobody uses are removed, and this one is built again`);
        return build(dir);
      }
    },
    async onBuilt(sizeBytes) {
      log(`the environment is ready: ${megabytes(sizeBytes)} in ${secondsSince(beganAt)}`);
      if (options.budgetBytes !== undefined) await keepWithin(root, options.budgetBytes, log);
    },
  });
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
  const requirements = await readRequirements(options.modelDir, cog);
  if (requirements.buildCommands.length > 0 && options.allowBuildRun !== true) {
    throw new EnvironmentProblem(
      "cog.yaml has build.run, whose commands would run on this host: start the pool with --allow-build-run if you trust them, or take build.run out.",
    );
  }
  const unknown = await ensureSystemPackages(cog.build.system_packages ?? [], {
    allowed: options.allowSystemPackages === true,
    isRoot: process.getuid?.() === 0,
    lockDir: options.environmentsDir,
    timeoutMs: options.installTimeoutMs ?? installTimeoutMs,
    log: options.log,
  });
  if (unknown !== null) warnings.push(unknown);
  const plain = requirements.lines.length === 0 && requirements.buildCommands.length === 0;
  const interpreter = await pickInterpreter(options, warnings);
  const env = modelEnv(cog);
  if (plain) return { python: interpreter.path, env, warnings, sizeBytes: null, isUnpacked: false, release: () => {} };
  const version = `${interpreter.major}.${interpreter.minor}`;
  const name = `${version}-${process.arch}-${requirements.hash.slice(0, 24)}`;
  const { dir, note, isUnpacked, release } = await ensure(name, interpreter, requirements, options);
  env["VIRTUAL_ENV"] = dir;
  env["PATH"] = `${join(dir, "bin")}${delimiter}${process.env["PATH"] ?? ""}`;
  return { python: pythonOf(dir), env, warnings, sizeBytes: note.sizeBytes, isUnpacked, release };
}
