/** What a process of a model is launched with: its environment, its secrets, its jail, its folders and its limits. */
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import { modelPath } from "../src/contract/manifest.ts";
import { messageOf, Unwritable } from "./bundles/problems.ts";
import type { Clock } from "./scheduling/clock.ts";
import { cudaProblem, torchCudaOf } from "./runtime/devices/cuda-version.ts";
import type { DeviceWatch } from "./runtime/devices/device-watch.ts";
import { environmentsFolder } from "./runtime/environments/folder.ts";
import { prepareEnvironment } from "./runtime/environments/index.ts";
import type { Layers } from "./runtime/environments/layers.ts";
import { jailOf } from "./runtime/isolation/model-jail.ts";
import type { Isolation } from "./runtime/isolation/types.ts";
import type { MemoryCaps, MemoryGroup } from "./runtime/memory-caps/types.ts";
import type { Model } from "./runtime/models/model.ts";
import type { Life, ModelLives } from "./runtime/models/model-lives.ts";
import { fetchSecrets } from "./runtime/models/model-secrets.ts";
import type { RunnerOptions } from "./runtime/runner-options.ts";
import type { Settings } from "./settings.ts";
import type { StateDir } from "./state-dir.ts";
import type { HttpClient } from "./transport/http-client.ts";

export const CHILD_PATH = fileURLToPath(new URL("./python", import.meta.url));
const CHILD_MODULE = "edgeplane_child";
/** JAX and TensorFlow take nearly all of a device when they start, unless they are told that they share it. */
const sharing = {
  XLA_PYTHON_CLIENT_PREALLOCATE: process.env["XLA_PYTHON_CLIENT_PREALLOCATE"] ?? "false",
  TF_FORCE_GPU_ALLOW_GROWTH: process.env["TF_FORCE_GPU_ALLOW_GROWTH"] ?? "true",
};

export type LaunchOptions = {
  devices: DeviceWatch;
  isolation: Isolation;
  memoryCaps: MemoryCaps;
  settings: Settings;
  state: StateDir;
  http: HttpClient;
  clock: Clock;
  log: Logger;
  /** Environments that other hosts have built. */
  layers: Layers;
  /** Another child than the pool's own: tests bring theirs. */
  child?: { path: string; module: string } | undefined;
};

/** Of what is said while a process is prepared, so many lines are kept. */
const KEPT_LINES = 200;
/** Of all models: no two processes have the same scratch folder. */
let launches = 0;

/** Brings the files that a model's processes need, and their environment. */
async function prepare(model: Model, label: string, lives: ModelLives, options: LaunchOptions) {
  const { settings, log } = options;
  const lines: string[] = [];
  const course: NonNullable<Model["course"]> = { stage: "fetch", lines };
  model.course = course;
  const say = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    model.environment = { progress: line };
    log.info({ model: label }, line);
  };
  const fixed = (await model.complete?.(say)) ?? [];
  course.stage = "build";
  // What `build.run` writes is the model's own, too.
  const preparation = lives.began();
  const { cudaVersion, report } = options.devices;
  const host = { cuda: cudaVersion, gpus: report.cuda.map(({ name }) => name) };
  const others = { layers: options.layers, owner: model.manifest.owner, ...host };
  const environment = await prepareEnvironment({
    modelDir: model.dir,
    cog: model.cog,
    environmentsDir: environmentsFolder(settings["environments-dir"], settings["state-dir"]),
    budgetBytes: settings["environments-bytes"],
    log: say,
    allowBuildRun: settings["allow-build-run"],
    allowSystemPackages: settings["allow-system-packages"],
    ...(settings["stored-environments"] ? { others } : {}),
  }).finally(preparation.ended);
  return { fixed, course, environment };
}

/** `label`: what the model is called on this host. `lives`: where its lives are noted. */
export function createLaunch(
  model: Model,
  label: string,
  lives: ModelLives,
  options: LaunchOptions,
): Required<Pick<RunnerOptions, "launch" | "prepareAhead">> {
  const { settings, state, log } = options;
  const child = options.child ?? { path: CHILD_PATH, module: CHILD_MODULE };
  const launch: RunnerOptions["launch"] = async (instance, kind) => {
    launches += 1;
    const keys = model.cog.edgeplane;
    const refusal = kind === "cuda" ? options.devices.refusalOf(model.cog.build.cuda) : null;
    if (refusal !== null) throw new Error(refusal);
    const { fixed, course, environment } = await prepare(model, label, lives, options);
    const { python, env, warnings, sizeBytes, isUnpacked, release } = environment;
    course.stage = "setup";
    const scratchDir = join(state.scratchDir, `${instance.replaceAll(/[^\w.-]/g, "_")}-${launches}`);
    const releaseAndThrow = (error: unknown): never => {
      release();
      throw error;
    };
    const torchRefusal = kind === "cuda" ? await torchProblem(python, options.devices) : null;
    if (torchRefusal !== null) releaseAndThrow(new Error(torchRefusal));
    const secrets = await fetchSecrets(options.http, model.manifest, keys.secrets).catch(releaseAndThrow);
    const jail = await jailOf(
      {
        isolation: options.isolation,
        isRequired: settings.isolation !== "auto" || !settings["trusted-owners"].includes(model.manifest.owner),
        shared: settings.readable,
        homesDir: state.homesDir,
      },
      {
        model: modelPath(model.manifest),
        modelDir: model.dir,
        notesDir: model.notesDir,
        fixed,
        scratchDir,
        network: keys.network,
        python,
        childPath: child.path,
        env,
      },
      (warning) => warnings.push(warning),
    ).catch(releaseAndThrow);
    await makeFolder(state.scratchDir, scratchDir).catch((error: unknown) => {
      log.warn({ model: label, why: messageOf(error) }, "a model can't be started for now; trying on");
      releaseAndThrow(error);
    });
    const group = groupOf(options.memoryCaps, basename(scratchDir), keys.memoryBytes, warnings);
    model.isolation = jail === null ? "none" : options.isolation.kind;
    model.environment = { python, sizeBytes, isUnpacked, warnings };
    for (const warning of warnings) log.warn({ model: label }, warning);
    return {
      python,
      env: {
        ...sharing,
        ...env,
        ...secrets,
        ...(keys.memoryLimitBytes === undefined ? {} : { EDGEPLANE_MEMORY_LIMIT_BYTES: String(keys.memoryLimitBytes) }),
      },
      modelDir: model.dir,
      childPath: child.path,
      childModule: child.module,
      slots: model.slotsPerInstance,
      runsAhead: keys.batchesInFlight - 1,
      scratchDir,
      jail,
      setupTimeoutMs: keys.setupTimeoutMs ?? settings["setup-timeout-ms"],
      silenceMs: keys.silenceTimeoutMs ?? settings["silence-ms"],
      progressMs: keys.progressTimeoutMs ?? null,
      group,
      use: {
        memoryBytes: group === null ? (keys.memoryBytes ?? null) : null,
        scratchBytes: keys.scratchBytes ?? null,
      },
      healthEveryMs: settings["health-every-ms"],
      lives: () => endingWith(lives.began(), release),
      discard() {
        void rm(scratchDir, { recursive: true, force: true }).catch(() => {});
        group?.remove();
        release();
      },
    };
  };
  return {
    launch,
    async prepareAhead() {
      const { environment } = await prepare(model, label, lives, options);
      environment.release();
    },
  };
}

/** Throws `Unwritable`, which tells nobody where this host has its folders. */
async function makeFolder(parent: string, path: string): Promise<void> {
  try {
    await mkdir(parent, { recursive: true, mode: 0o711 });
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Unwritable(`this host can't make folders for its models (${code})`, { cause: error });
  }
}

/** A life after which `then` is done. */
function endingWith(life: Life, then: () => void): Life {
  const ended = (): void => {
    life.ended();
    then();
  };
  return { ...life, ended };
}

/** Why the driver can't run the PyTorch that this interpreter has; null when it can, or nobody knows. */
async function torchProblem(python: string, { cudaVersion }: DeviceWatch): Promise<string | null> {
  return cudaProblem("the model's PyTorch is built for CUDA", await torchCudaOf(python), cudaVersion);
}

/** Where the kernel sees to what its processes take of memory; null where nobody has to, or the pool does itself. */
function groupOf(caps: MemoryCaps, name: string, bytes: number | undefined, warnings: string[]): MemoryGroup | null {
  if (bytes === undefined) return null;
  try {
    return caps.group(name, bytes);
  } catch (error) {
    warnings.push(`its memory is looked at every second, as the system makes no cgroup for it: ${String(error)}`);
    return null;
  }
}
