/** A pool in the test's own process, whose models come and go as the test says. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { openJobLogs } from "../../../gpu-pool/job-log.ts";
import { Pool } from "../../../gpu-pool/pool.ts";
import { DeviceWatch } from "../../../gpu-pool/runtime/devices/device-watch.ts";
import { noIsolation } from "../../../gpu-pool/runtime/isolation/none.ts";
import { watchdog } from "../../../gpu-pool/runtime/memory-caps/types.ts";
import { findModels } from "../../../gpu-pool/runtime/models/find-models.ts";
import { NOTHING_SAID } from "../../../gpu-pool/runtime/models/configurations.ts";
import type { Configurations } from "../../../gpu-pool/runtime/models/configurations.ts";
import type { Model } from "../../../gpu-pool/runtime/models/model.ts";
import { readSettings } from "../../../gpu-pool/settings.ts";
import { takeStateDir } from "../../../gpu-pool/state-dir.ts";
import { systemClock } from "../../../gpu-pool/system-clock.ts";
import { createMetrics } from "../../../gpu-pool/telemetry/metrics.ts";
import type { Metrics } from "../../../gpu-pool/telemetry/metrics.ts";
import { openWayHome } from "../../../gpu-pool/way-home.ts";
import { pythonCache } from "../../python-cache.ts";
import { startFakeEdge } from "./fake-edge.ts";
import type { FakeEdge } from "./fake-edge.ts";
import { makeHome } from "./pool-process.ts";
import type { ModelFiles } from "./pool-process.ts";

Object.assign(process.env, pythonCache);

export type PoolInside = {
  edge: FakeEdge;
  pool: Pool;
  metrics: Metrics;
  stateDir: string;
  /** The lines of its log. */
  log: string[];
  /** Each of a folder `version/name`, by that path. */
  models: Map<string, Model>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * `configurations`: what the edge said before the test. `folders`: `set/name` → its files. Models of different sets may
 * have the same name. None is served at first.
 */
export async function startPoolInside(
  folders: Record<string, ModelFiles>,
  configurations: Configurations = NOTHING_SAID,
): Promise<PoolInside> {
  const edge = await startFakeEdge();
  const home = makeHome(folders);
  const args = ["--url", edge.url, "--token", edge.token, "--models", home.models, "--state-dir", home.state];
  const settings = readSettings([...args, "--bundles-dir", join(home.root, "shared"), "--isolation", "off"], {});
  if (settings === null) throw new Error("no settings");
  const state = takeStateDir(home.state, "inside");
  const models = new Map<string, Model>();
  for (const set of new Set(Object.keys(folders).map((path) => path.split("/")[0] ?? ""))) {
    const found = await findModels(join(home.models, set), [], { id: state.id, stateDir: home.state });
    for (const model of found.models) models.set(`${set}/${model.manifest.name}`, model);
  }
  const devices = new DeviceWatch({
    clock: systemClock,
    visible: undefined,
    ask: () => Promise.resolve({ devices: [], problem: null }),
  });
  await devices.look();
  const log: string[] = [];
  const metrics = createMetrics();
  const pool = new Pool({
    settings,
    jobLogs: await openJobLogs(settings, [], state.id),
    wayHome: await openWayHome(settings),
    state,
    models: [],
    configurations,
    devices,
    isolation: noIsolation("a test"),
    memoryCaps: watchdog("a test"),
    clock: systemClock,
    log: pino({ base: null }, { write: (line: string) => void log.push(line) }),
    metrics,
    onRefused(why) {
      throw new Error(why);
    },
  });
  await pool.pressure.disk.look();
  pool.start();
  await edge.until(() => edge.hellos.length > 0);
  return {
    edge,
    pool,
    metrics,
    stateDir: home.state,
    log,
    models,
    async [Symbol.asyncDispose]() {
      await pool.drain(0);
      await edge.close();
      rmSync(home.root, { recursive: true, force: true });
    },
  };
}

/** The model of this path, or an error. */
export function modelAt({ models }: PoolInside, path: string): Model {
  const model = models.get(path);
  if (model === undefined) throw new Error(`there is no ${path}: ${[...models.keys()].join(", ")}`);
  return model;
}
