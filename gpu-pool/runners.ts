/** Makes the runners of this host's models: where each instance lives, what is launched, and who hears of it. */
import { totalmem } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import { modelPath } from "../src/contract/manifest.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { DeviceWatch } from "./runtime/devices/device-watch.ts";
import { environmentsFolder } from "./runtime/environments/folder.ts";
import { prepareEnvironment } from "./runtime/environments/index.ts";
import { createPrepare } from "./runtime/inputs.ts";
import { jailOf } from "./runtime/isolation/model-jail.ts";
import type { Isolation } from "./runtime/isolation/types.ts";
import type { MemoryCaps, MemoryGroup } from "./runtime/memory-caps/types.ts";
import { KnownSchemas } from "./runtime/known-schemas.ts";
import { ModelRunner } from "./runtime/model-runner.ts";
import type { RunnerObserver, RunnerOptions } from "./runtime/runner-options.ts";
import type { SeenDevice } from "./runtime/placement/host-placer.ts";
import { HostPlacer } from "./runtime/placement/host-placer.ts";
import type { Model } from "./runtime/models/model.ts";
import type { Life } from "./runtime/models/model-lives.ts";
import { fetchSecrets } from "./runtime/models/model-secrets.ts";
import { ModelLives } from "./runtime/models/model-lives.ts";
import type { Reporter } from "./runtime/prediction.ts";
import type { Pressure } from "./pressure.ts";
import type { Settings } from "./settings.ts";
import type { StateDir } from "./state-dir.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { HttpClient } from "./transport/http-client.ts";

export const CHILD_PATH = fileURLToPath(new URL("./python", import.meta.url));
const CHILD_MODULE = "edgeplane_child";
const DOWNLOAD_TIMEOUT_MS = 300_000;
/** Of what ran in a process that died, so many are named in the log. */
const SHOWN_IDS = 32;
/** JAX and TensorFlow take nearly all of a device when they start, unless they are told that they share it. */
const sharing = {
  XLA_PYTHON_CLIENT_PREALLOCATE: process.env["XLA_PYTHON_CLIENT_PREALLOCATE"] ?? "false",
  TF_FORCE_GPU_ALLOW_GROWTH: process.env["TF_FORCE_GPU_ALLOW_GROWTH"] ?? "true",
};

export type FleetOptions = {
  models: Model[];
  devices: DeviceWatch;
  isolation: Isolation;
  memoryCaps: MemoryCaps;
  settings: Settings;
  state: StateDir;
  http: HttpClient;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  report: Reporter;
  pressure: Pressure;
  onSchema(): void;
  onRoom(): void;
  onEnded: RunnerOptions["onEnded"];
  startQuota: RunnerOptions["startQuota"];
  /** Another child than the pool's own: tests bring theirs. */
  child?: { path: string; module: string } | undefined;
};

/** One runner a model. */
export function createRunners(options: FleetOptions): ModelRunner[] {
  const { settings, state, http } = options;
  const prepare = createPrepare({
    http,
    inputsDir: state.inputsDir,
    download: {
      allowLoopback: settings["allow-loopback-inputs"],
      trustedOrigin: settings.url.origin,
      maxBytes: settings["max-input-bytes"],
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    },
    maxTotalBytes: settings["max-inputs-bytes"],
    budget: options.pressure.inputs,
  });
  const schemas = new KnownSchemas(settings["state-dir"]);
  schemas.recall(options.models.map(({ manifest }) => manifest));
  const placer = new HostPlacer({
    clock: options.clock,
    devices: () => seenDevices(options.devices),
    look: async () => options.devices.look(),
    onBlocked: options.onRoom,
  });
  placer.looked();
  const runners = options.models.map((model) => createRunner(model, prepare, schemas, placer, options));
  options.devices.onLook = () => {
    placer.looked();
    for (const runner of runners) runner.hostChanged();
  };
  return runners;
}

function createRunner(
  model: Model,
  prepare: RunnerOptions["prepare"],
  schemas: KnownSchemas,
  placer: HostPlacer,
  options: FleetOptions,
): ModelRunner {
  const { settings, state, clock, report, onRoom, log } = options;
  const name = modelPath(model.manifest);
  const child = options.child ?? { path: CHILD_PATH, module: CHILD_MODULE };
  const lives = new ModelLives(model.notesDir, state.id, clock);
  let launches = 0;
  return new ModelRunner({
    model,
    devices: options.devices,
    placer,
    clock,
    report,
    prepare,
    onRoom,
    onEnded: options.onEnded,
    startQuota: options.startQuota,
    shortage: (schema) => options.pressure.shortage(schema),
    onDiskFull() {
      log.warn({ model: name }, "a disk took no more of a prediction's files: its model rests for a moment");
      void options.pressure.disk.look();
    },
    cancelGraceMs: settings["cancel-grace-ms"],
    aheadBatches: settings["ahead-batches"],
    observe: observer(name, options),
    onLoaded(loaded) {
      model.manifest.schema = loaded.schema;
      model.manifest.streams = loaded.streams;
      schemas.keep(model.manifest);
      options.onSchema();
    },
    async launch(instance, kind) {
      launches += 1;
      const keys = model.cog.edgeplane;
      const refusal = kind === "cuda" ? options.devices.refusal : null;
      if (refusal !== null) throw new Error(refusal);
      // What `build.run` writes is the model's own, too.
      const preparation = lives.began();
      const { python, env, warnings, sizeBytes, release } = await prepareEnvironment({
        modelDir: model.dir,
        cog: model.cog,
        environmentsDir: environmentsFolder(settings["environments-dir"], settings["state-dir"]),
        budgetBytes: settings["environments-bytes"],
        log(line) {
          model.environment = { progress: line };
          log.info({ model: name }, line);
        },
        allowBuildRun: settings["allow-build-run"],
        allowSystemPackages: settings["allow-system-packages"],
      }).finally(preparation.ended);
      const scratchDir = join(state.scratchDir, `${instance.replaceAll(/[^\w.-]/g, "_")}-${launches}`);
      const releaseAndThrow = (error: unknown): never => {
        release();
        throw error;
      };
      const secrets = await fetchSecrets(options.http, model.manifest, keys.secrets).catch(releaseAndThrow);
      const jail = await jailOf(
        {
          isolation: options.isolation,
          isRequired: settings.isolation !== "auto" || !settings["trusted-owners"].includes(model.manifest.owner),
          shared: settings.readable,
          homesDir: state.homesDir,
        },
        {
          model: name,
          modelDir: model.dir,
          notesDir: model.notesDir,
          scratchDir,
          network: keys.network,
          python,
          childPath: child.path,
          env,
        },
        (warning) => warnings.push(warning),
      ).catch(releaseAndThrow);
      const group = groupOf(options.memoryCaps, basename(scratchDir), keys.memoryBytes, warnings);
      model.isolation = jail === null ? "none" : options.isolation.kind;
      model.environment = { python, sizeBytes, warnings };
      for (const warning of warnings) log.warn({ model: name }, warning);
      return {
        python,
        env: {
          ...sharing,
          ...env,
          ...secrets,
          ...(keys.memoryLimitBytes === undefined
            ? {}
            : { EDGEPLANE_MEMORY_LIMIT_BYTES: String(keys.memoryLimitBytes) }),
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
          group?.remove();
          release();
        },
      };
    },
  });
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

/** A life after which `then` is done. */
function endingWith(life: Life, then: () => void): Life {
  const ended = (): void => {
    life.ended();
    then();
  };
  return { ...life, ended };
}

/** The CUDA devices and the CPU, as placement sees them. What is used of the CPU's memory is nobody's business. */
function seenDevices({ report }: DeviceWatch): SeenDevice[] {
  const cuda = report.cuda.map(({ id, memoryBytes, usedBytes, problem }) => ({
    id,
    kind: "cuda" as const,
    memoryBytes,
    usedBytes,
    problem,
  }));
  return [...cuda, { id: "cpu", kind: "cpu", memoryBytes: totalmem(), usedBytes: null, problem: null }];
}

function observer(model: string, { log, metrics, settings, clock }: FleetOptions): RunnerObserver {
  return {
    batch({ size, reason, waitsMs, waste }) {
      metrics.batchSize.observe({ model }, size);
      metrics.dispatched.inc({ model, reason });
      for (const ms of waitsMs) metrics.queueSeconds.observe({ model }, ms / 1000);
      if (waste !== null) metrics.paddingWaste.observe({ model }, waste);
    },
    ran(ms, takenBytes) {
      metrics.runSeconds.observe({ model }, ms / 1000);
      if (takenBytes !== null) metrics.batchMemory.observe({ model }, takenBytes);
    },
    ended(outcome, { ref, grant, deviceMs }) {
      metrics.ended.inc({ model, outcome });
      metrics.rates.ended(model, clock.nowMs());
      log.debug({ prediction: ref.id, attempt: grant.attempt, model, outcome, deviceMs }, "prediction ended");
    },
    bisected: () => metrics.bisected.inc({ model }),
    ready(instance, setupSeconds, loadMs) {
      metrics.setupSeconds.set({ model }, setupSeconds);
      metrics.loadSeconds.observe({ model }, loadMs / 1000);
      log.info({ model, instance, setupSeconds, loadMs }, "model ready");
    },
    died(instance, death, runs, leftMs) {
      if (leftMs !== null) metrics.evictSeconds.observe({ model }, leftMs / 1000);
      if (leftMs !== null) log.info({ model, instance, leftMs }, "model left its place for another");
      if (death.expected) return;
      metrics.deaths.inc({ model });
      const predictions = runs.flatMap((run) => run.unfinished().map(({ prediction }) => prediction.ref.id));
      log.warn({ model, instance, why: death.why, predictions: predictions.slice(0, SHOWN_IDS) }, "model process died");
    },
    broken(instance, problem) {
      metrics.setupFailures.inc({ model });
      const [first] = problem.message.split("\n");
      log.error({ model, instance, problem: first }, "model could not be set up; /models has the rest");
    },
    printed(text) {
      if (settings["log-model-output"]) log.info({ model, printed: text.trimEnd() }, "model printed");
    },
  };
}
