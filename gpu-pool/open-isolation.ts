/** What isolates this host's models, by the settings: chosen once at start, and said there. */
import type { Logger } from "pino";
import { CHILD_PATH } from "./launching.ts";
import { bundlesFolder } from "./runtime/environments/folder.ts";
import { chooseIsolation } from "./runtime/isolation/choose.ts";
import type { Isolation } from "./runtime/isolation/types.ts";
import { SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";
import type { StateDir } from "./state-dir.ts";

/** Throws `SettingsError` where the settings demand what this host can't. */
export async function openIsolation(settings: Settings, state: StateDir, log: Logger): Promise<Isolation> {
  const { "kafka-settings": kafka, "secret-files": files = [] } = settings;
  const bundles = bundlesFolder(settings["bundles-dir"], settings["state-dir"]);
  const hidden = [settings["state-dir"], settings.models, bundles, ...files, ...(kafka === undefined ? [] : [kafka])];
  const isolation = await chooseIsolation({ setting: settings.isolation, hidden, childPath: CHILD_PATH }).catch(
    (error: unknown) => {
      throw new SettingsError(error instanceof Error ? error.message : String(error));
    },
  );
  if (isolation.kind === "user") state.openToOthers();
  if (isolation.kind === "none")
    log.warn({ why: isolation.why }, "isolation: none; models see what the pool's user sees");
  return isolation;
}
