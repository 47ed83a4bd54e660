#!/usr/bin/env node
/** The pool's command: settings, wiring, signals, exit codes (0 drained, 1 broken, 2 wrong settings or refused). */
import { pino } from "pino";
import type { Logger } from "pino";
import { MISCONFIGURED, readConfigurations } from "./configurations.ts";
import { NOTHING_SAID } from "./runtime/models/configurations.ts";
import type { Configurations } from "./runtime/models/configurations.ts";
import { openJobLogs } from "./job-log.ts";
import { Pool } from "./pool.ts";
import { deviceCheckOf } from "./runtime/devices/device-check.ts";
import { openMemoryCaps } from "./runtime/memory-caps/open.ts";
import { DeviceWatch } from "./runtime/devices/device-watch.ts";
import { runnableHere } from "./runtime/isolation/trusted.ts";
import { environmentsFolder, whyUnusable } from "./runtime/environments/folder.ts";
import { keepWithin } from "./runtime/environments/keeping.ts";
import { findModels } from "./runtime/models/find-models.ts";
import { openIsolation } from "./open-isolation.ts";
import { helpText, lanesOf, readSettings, SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";
import { StateDirError, takeStateDir } from "./state-dir.ts";
import { logDestination } from "./telemetry/log-destination.ts";
import { startTelemetry } from "./telemetry/start.ts";
import { systemClock } from "./system-clock.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { onSignals } from "./signals.ts";
import { timeToFinishMs } from "./preemption/notice.ts";
import { PreemptionWatch } from "./preemption/watch.ts";
import { tellSupervisor } from "./supervisor.ts";
import { createHttpClient } from "./transport/http-client.ts";
import { openWayHome } from "./way-home.ts";

const EXIT_WRONG = 2;
const SHOWN_FILES = 10;

function stopWith(message: string): never {
  process.stderr.write(`gpu-pool: ${message}\n`);
  process.exit(EXIT_WRONG);
}

async function askConfigurations(settings: Settings, log: Logger): Promise<Configurations> {
  const http = createHttpClient(settings.url, { authorization: `Bearer ${settings.token}` });
  try {
    return await readConfigurations(http, settings["state-dir"], log);
  } finally {
    http.close();
  }
}

async function run(settings: Settings): Promise<void> {
  const log = pino({ level: settings["log-level"], base: null }, logDestination());
  const state = takeStateDir(settings["state-dir"], settings.name);
  const environments = environmentsFolder(settings["environments-dir"], settings["state-dir"]);
  const unusable = whyUnusable(environments);
  if (unusable !== null) throw new SettingsError(`--environments-dir ${environments} can't be used: ${unusable}`);
  void keepWithin(environments, settings["environments-bytes"], (line) => log.info(line));
  const finder = { id: state.id, stateDir: settings["state-dir"] };
  const isolation = await openIsolation(settings, state, log);
  let configurations = NOTHING_SAID;
  const inFolder = await findModels(settings.models, settings.enable, finder, async () => {
    configurations = await askConfigurations(settings, log);
    return configurations;
  }).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError(`--models ${settings.models} can't be read: ${why}`);
  });
  const found = runnableHere(inFolder, isolation, settings["trusted-owners"]);
  for (const { folder, problem } of found.problems)
    log.error({ folder, problem }, "folder is not a model; passed over");
  for (const { manifest, misconfigured: problem } of found.models)
    if (problem !== undefined) log.error({ model: manifest.name, problem }, MISCONFIGURED);
  for (const { manifest, written } of found.models) {
    if (written.length === 0) continue;
    const shown = written.slice(0, SHOWN_FILES);
    log.info(
      { model: manifest.name, files: written.length, shown },
      "what the model wrote itself is no part of its version",
    );
  }
  if (found.models.length === 0) log.warn({ models: settings.models }, "no models found: this pool can run nothing");
  const manifests = found.models.map(({ manifest: { owner, name, version } }) => ({ owner, name, version }));
  tellSupervisor({ type: "found", models: manifests, problems: found.problems });
  const devices = new DeviceWatch({
    clock: systemClock,
    visible: process.env["CUDA_VISIBLE_DEVICES"],
    ...deviceCheckOf(settings["device-check"]),
  });
  await devices.look();
  let areGpusWatched = false;
  const watchGpus = async (): Promise<void> => {
    if (areGpusWatched) return;
    areGpusWatched = true;
    const unchecked = await devices.check();
    if (unchecked.length > 0) log.warn({ unchecked }, "GPUs could not be checked; they are taken to be well");
    devices.start();
    if (devices.report.problem !== null) log.warn({ problem: devices.report.problem }, "not all GPUs can be used");
  };
  if (found.models.some(({ usesGpu }) => usesGpu)) await watchGpus();
  const memoryCaps = openMemoryCaps();
  if (found.models.some(({ cog }) => cog.edgeplane.memoryBytes !== undefined) && memoryCaps.why !== null)
    log.info({ why: memoryCaps.why }, "memoryBytes of models is looked at every second; no cgroup sees to it");
  const metrics = createMetrics();
  const lanes = lanesOf(found.models);
  // What is wrong with the log shows at the start, even if the first model comes later.
  const jobLogs = await openJobLogs(settings, lanes.length === 0 ? ["default"] : lanes, state.id);
  const wayHome = await openWayHome(settings);
  const pool = new Pool({
    settings,
    jobLogs,
    wayHome,
    state,
    models: found.models,
    configurations,
    devices,
    isolation,
    memoryCaps,
    clock: systemClock,
    log,
    metrics,
    onUsesGpu: watchGpus,
    onWelcome: () => tellSupervisor({ type: "offered" }),
    onDrain: (withinMs) => drain(withinMs, "the edge gives this host back"),
    onRefused(why, atStart) {
      if (!atStart) return;
      pool.kill();
      state.release();
      stopWith(why);
    },
  });
  const drain = (withinMs: number, why: string): void => void pool.drain(withinMs, why).then(() => process.exit(0));
  const preemption = new PreemptionWatch({
    clock: systemClock,
    log,
    cloud: settings.preemption,
    metadataUrl: settings["metadata-url"],
    file: settings["drain-file"],
    fileMs: settings["drain-timeout-ms"],
    onNotice: ({ withinMs, why }) => drain(timeToFinishMs(withinMs), why),
  });
  const port = await startTelemetry({
    settings,
    name: state.name,
    pool,
    metrics,
    devices,
    isolation,
    memoryCaps,
    preemption,
    problems: found.problems,
  });
  log.info(
    {
      pool: state.name,
      models: pool.runners.map(({ model }) => model.manifest.name),
      lanes: pool.models.lanes,
      devices: devices.devices,
      isolation: isolation.kind,
      memoryCaps: memoryCaps.kind,
      metricsPort: port,
    },
    "pool started",
  );
  onSignals(
    (signal) => drain(settings["drain-timeout-ms"], signal),
    () => {
      pool.kill();
      state.release();
      process.exit(1);
    },
  );
  await pool.pressure.disk.look();
  pool.start();
  await preemption.start();
}

try {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings === null) process.stdout.write(helpText());
  else await run(settings);
} catch (error) {
  if (error instanceof SettingsError || error instanceof StateDirError) stopWith(error.message);
  throw error;
}
