/** Puts the pool's state behind the local port. */
import { modelPath } from "../../src/contract/manifest.ts";
import type { Pool } from "../pool.ts";
import type { PreemptionWatch } from "../preemption/watch.ts";
import type { DeviceWatch } from "../runtime/devices/device-watch.ts";
import { SettingsError } from "../settings.ts";
import type { Settings } from "../settings.ts";
import { addGauges } from "./metrics.ts";
import type { Metrics } from "./metrics.ts";
import { serveTelemetry } from "./server.ts";

export type StartOptions = {
  settings: Settings;
  pool: Pool;
  metrics: Metrics;
  devices: DeviceWatch;
  preemption: PreemptionWatch;
  /** Folders that could not be read as models. */
  problems: { folder: string; problem: string }[];
};

/** Listens and returns the port. Throws `SettingsError` when it is taken. */
export async function startTelemetry({
  settings,
  pool,
  metrics,
  devices,
  preemption,
  problems,
}: StartOptions): Promise<number> {
  addGauges(metrics.registry, {
    models: () =>
      pool.runners.map((runner) => ({
        model: modelPath(runner.model.manifest),
        state: runner.instances.state,
        waiting: runner.waiting,
        held: runner.held,
        slots: runner.slots,
        freeSlots: runner.instances.all.reduce((sum, { freeSlots }) => sum + freeSlots, 0),
        broken: runner.problem !== null,
      })),
    channelOpen: () => pool.channelOpen,
    undelivered: () => pool.undelivered,
    spooled: () => pool.spooled,
    lags: async () => pool.intakes.lags(),
    devices: () => devices.report.cuda,
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
      status: () => ({
        devices: devices.report.cuda,
        problem: devices.report.problem,
        preemption: { cloud: preemption.cloud, notice: preemption.notice },
        pressure: {
          disk: { freeBytes: pool.pressure.disk.freeBytes, problem: pool.pressure.disk.problem },
          inputs: { bytes: pool.pressure.inputs.bytes, problem: pool.pressure.inputs.problem },
          uploads: { bytes: pool.pressure.uploads.bytes, problem: pool.pressure.uploads.problem },
        },
        models: pool.runners.map(summarize),
      }),
    });
    return served.port;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError(
      `--metrics-port ${port} can't be listened on (${why}): choose another, or 0 for a free one`,
    );
  }
}

function summarize(runner: Pool["runners"][number]): unknown {
  return {
    model: modelPath(runner.model.manifest),
    state: runner.instances.state,
    waiting: runner.waiting,
    held: runner.held,
    problem: runner.problem?.message ?? null,
  };
}

function describe(runner: Pool["runners"][number]): unknown {
  return {
    model: modelPath(runner.model.manifest),
    version: runner.model.manifest.version,
    folder: runner.model.dir,
    state: runner.instances.state,
    waiting: runner.waiting,
    held: runner.held,
    environment: runner.model.environment ?? null,
    problem: runner.problem,
    instances: runner.instances.all.map((instance) => ({
      name: instance.name,
      state: instance.state,
      devices: instance.placement === "none" ? [] : instance.devices,
      deviceBytes: runner.deviceBytesOf(instance),
      restarts: instance.restarts,
      pid: instance.process?.pid ?? null,
    })),
  };
}
