/** The environments of other hosts, for a pool. */
import type { Logger } from "pino";
import type { Pressure } from "../pressure.ts";
import { environmentsFolder } from "../runtime/environments/folder.ts";
import type { ModelRunner } from "../runtime/model-runner.ts";
import type { Settings } from "../settings.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { EnvironmentLayers } from "./environment-layers.ts";

type Host = { readonly pressure: Pressure; readonly runners: readonly ModelRunner[] };

/** `host`: the pool, whose runners come later than this. */
export function openLayers(host: Host, http: HttpClient, log: Logger, settings: Settings): EnvironmentLayers {
  return new EnvironmentLayers({
    http,
    log,
    environmentsDir: environmentsFolder(settings["environments-dir"], settings["state-dir"]),
    budgetBytes: settings["environments-bytes"],
    leastFreeBytes: settings["min-free-disk-bytes"],
    isBusy: () => host.runners.some(({ held, instances }) => held > 0 || instances.state === "starting"),
    isShort: () => host.pressure.problems.length > 0,
  });
}
