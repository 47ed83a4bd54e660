/** Makes the runners of this host's models: where each instance lives, what is launched, and who hears of it. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { Device } from "../src/contract/channel.ts";
import { modelPath } from "../src/contract/manifest.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { DeviceWatch } from "./runtime/devices/device-watch.ts";
import { prepareEnvironment } from "./runtime/environments/index.ts";
import { createPrepare } from "./runtime/inputs.ts";
import { KnownSchemas } from "./runtime/known-schemas.ts";
import { ModelRunner } from "./runtime/model-runner.ts";
import type { RunnerObserver, RunnerOptions } from "./runtime/runner-options.ts";
import type { Model } from "./runtime/models/model.ts";
import { ModelLives } from "./runtime/models/model-lives.ts";
import type { Reporter } from "./runtime/prediction.ts";
import type { Settings } from "./settings.ts";
import type { StateDir } from "./state-dir.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { HttpClient } from "./transport/http-client.ts";

const CHILD_PATH = fileURLToPath(new URL("./python", import.meta.url));
const CHILD_MODULE = "edgeplane_child";
const DOWNLOAD_TIMEOUT_MS = 300_000;

export type FleetOptions = {
  models: Model[];
  devices: DeviceWatch;
  settings: Settings;
  state: StateDir;
  http: HttpClient;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  report: Reporter;
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
  });
  const schemas = new KnownSchemas(settings["state-dir"]);
  schemas.recall(options.models.map(({ manifest }) => manifest));
  const runners = options.models.map((model) => createRunner(model, prepare, schemas, options));
  options.devices.onLook = () => {
    for (const runner of runners) runner.hostChanged();
  };
  return runners;
}

function createRunner(
  model: Model,
  prepare: RunnerOptions["prepare"],
  schemas: KnownSchemas,
  options: FleetOptions,
): ModelRunner {
  const { settings, state, clock, report, onRoom, log } = options;
  const name = modelPath(model.manifest);
  const child = options.child ?? { path: CHILD_PATH, module: CHILD_MODULE };
  const lives = new ModelLives(model.notesDir, state.id, clock);
  let launches = 0;
  return new ModelRunner({
    model,
    places: placesOf(model, options.devices.devices),
    refusal: () => (needsGpu(model) ? options.devices.refusal : null),
    clock,
    report,
    prepare,
    onRoom,
    onEnded: options.onEnded,
    startQuota: options.startQuota,
    cancelGraceMs: settings["cancel-grace-ms"],
    aheadBatches: settings["ahead-batches"],
    observe: observer(name, options),
    onLoaded(loaded) {
      model.manifest.schema = loaded.schema;
      model.manifest.streams = loaded.streams;
      schemas.keep(model.manifest);
      options.onSchema();
    },
    async launch(instance) {
      launches += 1;
      const keys = model.cog.edgeplane;
      // What `build.run` writes is the model's own, too.
      const preparation = lives.began();
      const { python, env, warnings, sizeBytes } = await prepareEnvironment({
        modelDir: model.dir,
        cog: model.cog,
        stateDir: settings["state-dir"],
        log(line) {
          model.environment = { progress: line };
          log.info({ model: name }, line);
        },
        allowBuildRun: settings["allow-build-run"],
      }).finally(preparation.ended);
      model.environment = { python, sizeBytes, warnings };
      for (const warning of warnings) log.warn({ model: name }, warning);
      return {
        python,
        env:
          keys.memoryLimitBytes === undefined
            ? env
            : { ...env, EDGEPLANE_MEMORY_LIMIT_BYTES: String(keys.memoryLimitBytes) },
        modelDir: model.dir,
        childPath: child.path,
        childModule: child.module,
        slots: model.slotsPerInstance,
        scratchDir: join(state.scratchDir, `${instance.replaceAll(/[^\w.-]/g, "_")}-${launches}`),
        setupTimeoutMs: keys.setupTimeoutMs ?? settings["setup-timeout-ms"],
        silenceMs: settings["silence-ms"],
        healthEveryMs: settings["health-every-ms"],
        lives: () => lives.began(),
      };
    },
  });
}

/** Its author wants a GPU for it, and never the CPU in its place. */
function needsGpu({ usesGpu, cog }: Model): boolean {
  return usesGpu && !cog.edgeplane.cpuFallback;
}

/** A GPU model has an instance on every CUDA device, or as many as it asks for, in turn; any other lives on the CPU. */
export function placesOf(model: Model, devices: readonly Device[]): RunnerOptions["places"] {
  const name = modelPath(model.manifest);
  const cuda = devices.filter(({ kind }) => kind === "cuda");
  const usable = model.usesGpu && cuda.length > 0 ? cuda : null;
  const count = model.instances ?? usable?.length ?? 1;
  return Array.from({ length: count }, (_, index) => ({
    name: `${name}#${index}`,
    cudaVisibleDevices: usable?.[index % usable.length]?.id ?? "",
  }));
}

function observer(model: string, { log, metrics, settings }: FleetOptions): RunnerObserver {
  return {
    batch: (size) => metrics.batchSize.observe({ model }, size),
    ended: (outcome) => metrics.ended.inc({ model, outcome }),
    bisected: () => metrics.bisected.inc({ model }),
    ready(instance, setupSeconds) {
      metrics.setupSeconds.set({ model }, setupSeconds);
      log.info({ model, instance, setupSeconds }, "model ready");
    },
    died(instance, death) {
      if (death.expected) return;
      metrics.deaths.inc({ model });
      log.warn({ model, instance, why: death.why }, "model process died");
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
