/** Makes the runners of this host's models: where each instance lives, and who hears of it. */
import { totalmem } from "node:os";
import type { Logger } from "pino";
import { modelPath } from "../src/contract/manifest.ts";
import { createLaunch } from "./launching.ts";
import type { LaunchOptions } from "./launching.ts";
import { isAway, Unwritable } from "./bundles/problems.ts";
import { restWhileAway } from "./rest-while-away.ts";
import type { Meter } from "./metering/meter.ts";
import { versionKey } from "./version-key.ts";
import type { DeviceWatch } from "./runtime/devices/device-watch.ts";
import { FenceNews } from "./runtime/devices/fence-news.ts";
import { createPrepare } from "./runtime/inputs.ts";
import { KnownSchemas } from "./runtime/known-schemas.ts";
import { ModelRunner } from "./runtime/model-runner.ts";
import type { RunnerObserver, RunnerOptions } from "./runtime/runner-options.ts";
import type { SeenDevice } from "./runtime/placement/placeable.ts";
import { HostPlacer } from "./runtime/placement/host-placer.ts";
import type { Model } from "./runtime/models/model.ts";
import type { ModelLives } from "./runtime/models/model-lives.ts";
import { SharedLives } from "./runtime/models/shared-lives.ts";
import type { SetupProblem } from "./runtime/instance.ts";
import type { Reporter } from "./runtime/prediction.ts";
import type { Pressure } from "./pressure.ts";
import type { Metrics } from "./telemetry/metrics.ts";

const DOWNLOAD_TIMEOUT_MS = 300_000;
/** Of what ran in a process that died, so many are named in the log. */
const SHOWN_IDS = 32;

export type FleetOptions = LaunchOptions & {
  log: Logger;
  metrics: Metrics;
  report: Reporter;
  waiting: NonNullable<RunnerOptions["waiting"]>;
  meter: Meter;
  pressure: Pressure;
  /** What the pool says of itself is something else now. */
  onNews(): void;
  onRoom(): void;
  onEnded: RunnerOptions["onEnded"];
  startQuota: RunnerOptions["startQuota"];
  /** It could not be set up. */
  onBroken(model: Model, problem: SetupProblem): void;
};

/** Makes the runners of this host, which share its devices. */
export type Fleet = {
  /** `label` tells it from all others that are here. */
  make(model: Model, label: string): ModelRunner;
  /** One that runs nothing any more. */
  remove(runner: ModelRunner): void;
};

export function createFleet(options: FleetOptions, initial: readonly Model[]): Fleet {
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
  schemas.forgetAllBut(initial.map(({ manifest }) => manifest));
  const placer = new HostPlacer({
    clock: options.clock,
    devices: () => seenDevices(options.devices),
    look: async () => options.devices.look(),
    onBlocked: options.onRoom,
  });
  placer.looked();
  const runners = new Set<ModelRunner>();
  const lives = new SharedLives(state.id, options.clock);
  const news = new FenceNews(options.log);
  news.looked(options.devices.report);
  options.devices.onLook = () => {
    placer.looked();
    options.meter.devices(options.devices.devices);
    for (const runner of runners) runner.hostChanged();
    const isNews = news.looked(options.devices.report);
    const isAwaiting = options.devices.report.cuda.some((device) => device.isAwaited);
    if (isNews || isAwaiting) for (const runner of runners) runner.pressureChanged();
    if (isNews) options.onNews();
  };
  return {
    make(model, label) {
      schemas.recall(model.manifest);
      const shared = { prepare, schemas, placer, lives: lives.take(model.notesDir) };
      const runner = createRunner(model, label, shared, options);
      runners.add(runner);
      return runner;
    },
    remove(runner) {
      runners.delete(runner);
      runner.remove();
      const { manifest, notesDir } = runner.model;
      lives.drop(notesDir);
      const others = Array.from(runners, ({ model }) => model.manifest);
      const key = versionKey(manifest);
      if (!others.some(({ version }) => version === manifest.version)) schemas.forget(manifest);
      if (!others.some((other) => versionKey(other) === key)) options.metrics.rates.forget(key);
      const path = modelPath(manifest);
      if (!others.some((other) => modelPath(other) === path)) void options.metrics.forget(path);
    },
  };
}

type Shared = { prepare: RunnerOptions["prepare"]; schemas: KnownSchemas; placer: HostPlacer; lives: ModelLives };

function createRunner(model: Model, label: string, shared: Shared, options: FleetOptions): ModelRunner {
  const { prepare, schemas, placer, lives } = shared;
  const { settings, clock, report, onRoom, log } = options;
  const { launch, prepareAhead } = createLaunch(model, label, lives, options);
  const runner: ModelRunner = new ModelRunner({
    label,
    model,
    devices: options.devices,
    placer,
    clock,
    report,
    waiting: options.waiting,
    meter: options.meter.runs,
    prepare,
    onRoom,
    onEnded: options.onEnded,
    startQuota: options.startQuota,
    shortage: (schema) => options.pressure.shortage(schema) ?? model.shortage ?? null,
    onDiskFull() {
      log.warn({ model: label }, "a disk took no more of a prediction's files: its model rests for a moment");
      void options.pressure.disk.look();
    },
    cancelGraceMs: settings["cancel-grace-ms"],
    aheadBatches: settings["ahead-batches"],
    observe: observer(model, label, options),
    onLoaded(loaded) {
      model.manifest.schema = loaded.schema;
      model.manifest.streams = loaded.streams;
      schemas.keep(model.manifest);
      if (model.awaitsSetUp !== true) options.onNews();
    },
    onSetUp() {
      if (model.awaitsSetUp !== true) return;
      model.awaitsSetUp = false;
      options.onNews();
    },
    prepareAhead: async () => restWhileAway(prepareAhead(), isPassing, () => ({ runner, model, clock })),
    launch: async (...args) => restWhileAway(launch(...args), isPassing, () => ({ runner, model, clock })),
  });
  return runner;
}

function isPassing(error: unknown): boolean {
  return isAway(error) || error instanceof Unwritable;
}

/** The CUDA devices and the CPU, as placement sees them. What is used of the CPU's memory is nobody's business. */
function seenDevices({ report }: DeviceWatch): SeenDevice[] {
  const cuda = report.cuda.map(({ id, memoryBytes, usedBytes, problem, isAwaited }) => ({
    id,
    kind: "cuda" as const,
    memoryBytes,
    usedBytes,
    problem,
    isAwaited,
  }));
  return [...cuda, { id: "cpu", kind: "cpu", memoryBytes: totalmem(), usedBytes: null, problem: null }];
}

/** Metrics count by `owner/name`, whatever the version; the log names the one that it is. */
function observer(served: Model, label: string, options: FleetOptions): RunnerObserver {
  const { log, metrics, settings, clock } = options;
  const model = modelPath(served.manifest);
  const key = versionKey(served.manifest);
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
      metrics.rates.ended(key, clock.nowMs());
      log.debug({ prediction: ref.id, attempt: grant.attempt, model: label, outcome, deviceMs }, "prediction ended");
    },
    bisected: () => metrics.bisected.inc({ model }),
    ready(instance, setupSeconds, loadMs) {
      metrics.setupSeconds.set({ model }, setupSeconds);
      metrics.loadSeconds.observe({ model }, loadMs / 1000);
      log.info({ model: label, instance, setupSeconds, loadMs }, "model ready");
    },
    died(instance, death, runs, leftMs) {
      if (leftMs !== null) metrics.evictSeconds.observe({ model }, leftMs / 1000);
      if (leftMs !== null) log.info({ model: label, instance, leftMs }, "model left its place for another");
      if (death.expected) return;
      metrics.deaths.inc({ model });
      const predictions = runs.flatMap((run) => run.unfinished().map(({ prediction }) => prediction.ref.id));
      log.warn(
        { model: label, instance, why: death.why, predictions: predictions.slice(0, SHOWN_IDS) },
        "model process died",
      );
    },
    broken(instance, problem) {
      metrics.setupFailures.inc({ model });
      options.onBroken(served, problem);
      const [first] = problem.message.split("\n");
      log.error({ model: label, instance, problem: first }, "model could not be set up; /models has the rest");
    },
    printed(text) {
      if (settings["log-model-output"]) log.info({ model: label, printed: text.trimEnd() }, "model printed");
    },
  };
}
