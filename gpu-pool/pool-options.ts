/** What a pool is made of, and who hears of it. */
import type { Logger } from "pino";
import type { JobLogs } from "./job-log.ts";
import type { FleetOptions } from "./runners.ts";
import type { DeviceWatch } from "./runtime/devices/device-watch.ts";
import type { Configurations } from "./runtime/models/configurations.ts";
import type { Model } from "./runtime/models/model.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { Settings } from "./settings.ts";
import type { StateDir } from "./state-dir.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { WayHome } from "./way-home.ts";

export type PoolOptions = Pick<FleetOptions, "isolation" | "memoryCaps" | "child"> & {
  settings: Settings;
  jobLogs: JobLogs;
  wayHome: WayHome;
  state: StateDir;
  /** Those of its folder; others come and go while it runs (model-set.ts). */
  models: Model[];
  /** What the edge said last of how models run. */
  configurations: Configurations;
  devices: DeviceWatch;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** A model has come that needs the host's GPUs: they are checked, and watched from now on. */
  onUsesGpu?(): Promise<void>;
  /** The edge has taken this pool's models. */
  onWelcome?(): void;
  /** The edge gives this host back: what runs has so long to finish. */
  onDrain?(withinMs: number): void;
  /** The edge refused this pool for good; `atStart` when it never let it in. */
  onRefused(why: string, atStart: boolean): void;
};
