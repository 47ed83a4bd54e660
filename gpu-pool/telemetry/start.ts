/** Puts the pool's state behind the local port. */
import { modelPath } from "../../src/contract/manifest.ts";
import type { Pool } from "../pool.ts";
import type { PreemptionWatch } from "../preemption/watch.ts";
import type { DeviceWatch } from "../runtime/devices/device-watch.ts";
import type { IsolationState } from "../runtime/isolation/types.ts";
import type { MemoryCaps } from "../runtime/memory-caps/types.ts";
import { SettingsError } from "../settings.ts";
import type { Settings } from "../settings.ts";
import { addGauges } from "./metrics.ts";
import type { Metrics } from "./metrics.ts";
import { serveTelemetry } from "./server.ts";
import { instancesOf, statusOf } from "./status.ts";

export type StartOptions = {
  settings: Settings;
  /** The pool's name. */
  name: string;
  pool: Pool;
  metrics: Metrics;
  devices: DeviceWatch;
  isolation: IsolationState;
  memoryCaps: MemoryCaps;
  preemption: PreemptionWatch;
  /** Folders that could not be read as models. */
  problems: { folder: string; problem: string }[];
};

/** Listens and returns the port. Throws `SettingsError` when it is taken. */
export async function startTelemetry(options: StartOptions): Promise<number> {
  const { settings, name, pool, metrics, devices, isolation, memoryCaps, preemption, problems } = options;
  addGauges(metrics.registry, {
    models: () =>
      pool.runners.map((runner) => ({
        model: modelPath(runner.model.manifest),
        state: runner.instances.state,
        waiting: runner.waiting,
        held: runner.held,
        slots: runner.instances.all.length * runner.model.slotsPerInstance,
        freeSlots: runner.instances.all.reduce((sum, { freeSlots }) => sum + freeSlots, 0),
        broken: runner.problem !== null,
      })),
    channelOpen: () => pool.channelOpen,
    undelivered: () => pool.undelivered,
    spooled: () => pool.spooled,
    lags: async () => pool.intakes.lags(),
    devices: () => devices.report.cuda,
    isolation: isolation.kind,
    freeDiskBytes: () => pool.pressure.disk.freeBytes,
    inputBytes: () => pool.pressure.inputs.bytes,
    uploadBytes: () => pool.pressure.uploads.bytes,
    shortages: () => pool.pressure.shortages,
  });
  const host = settings["metrics-host"];
  const port = settings["metrics-port"];
  try {
    const served = await serveTelemetry({
      host,
      port,
      registry: metrics.registry,
      health: () => ({
        ok: !pool.draining,
        status: pool.draining ? "draining" : "ok",
        edge: pool.channelOpen ? "connected" : "away",
        intake: pool.intakes.states,
        undelivered: pool.undelivered,
        spooled: pool.spooled,
      }),
      models: () => ({ models: pool.runners.map(describe), problems }),
      status: () =>
        statusOf({ name, pool, devices, isolation, memoryCaps, preemption, metrics, nowMs: performance.now() }),
    });
    return served.port;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError(
      `--metrics-port ${port} can't be listened on (${why}): choose another, or 0 for a free one`,
    );
  }
}

function describe(runner: Pool["runners"][number]): unknown {
  return {
    model: modelPath(runner.model.manifest),
    version: runner.model.manifest.version,
    isLeaving: runner.isLeaving,
    folder: runner.model.dir,
    state: runner.instances.state,
    waiting: runner.waiting,
    held: runner.held,
    isolation: runner.model.isolation ?? null,
    environment: runner.model.environment ?? null,
    problem: runner.problem,
    learnedCost: runner.learned.cost,
    instances: instancesOf(runner),
  };
}
