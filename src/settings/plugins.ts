/** The plugins that settings may turn on: the built-in ones, and the uploaded versions that they pin. */
import { catalog } from "../../plugins/catalog.ts";
import type { Plugin } from "../../plugins/kernel/define-plugin.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { currentRunner } from "../sandbox/current-runner.ts";
import { uploadedPlugin } from "../sandbox/uploaded-plugin.ts";
import type { SetUp } from "../sandbox/uploaded-plugin.ts";
import { readUpload } from "../sandbox/uploads.ts";
import type { Settings } from "./schema.ts";

/**
 * `setUp`: whether uploaded plugins are set up at once, to see whether they can be, or by their first call. Throws
 * `plugin_missing`, `plugin_duplicate`, `plugin_invalid` and `plugins_unavailable`.
 */
export async function availablePlugins(env: Env, settings: Settings, setUp: SetUp): Promise<readonly Plugin[]> {
  const pins = Object.entries(settings.uploads);
  if (pins.length === 0) return catalog;
  const runner = currentRunner(env);
  const uploaded = await Promise.all(
    pins.map(async ([name, { version, network }]) => {
      const upload = await readUpload(env, version);
      checkPin(name, upload.manifest, network);
      return uploadedPlugin({ upload, network }, runner, setUp);
    }),
  );
  return [...catalog, ...uploaded];
}

function checkPin(name: string, manifest: { name: string; network: string[] }, granted: readonly string[]): void {
  if (catalog.some((plugin) => plugin.name === name)) {
    throw new EdgeplaneError("plugin_duplicate", `"${name}" is the name of a built-in plugin.`);
  }
  if (manifest.name !== name) {
    throw new EdgeplaneError("plugin_invalid", `The version pinned as "${name}" is one of "${manifest.name}".`);
  }
  const unasked = granted.find((host) => !manifest.network.includes(host));
  if (unasked !== undefined) {
    throw new EdgeplaneError("plugin_invalid", `"${name}" is granted ${unasked}, which its manifest doesn't ask for.`);
  }
}
