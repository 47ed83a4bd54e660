/** What a push with plugins has to pass: the operator allows them, and each of them can be set up. */
import type { AttachedPlugin } from "../../contract/attached-plugin.ts";
import type { Bundle } from "../../contract/bundle.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { ModelRef } from "../../contract/prediction.ts";
import { definePlugin } from "../../../plugins/kernel/define-plugin.ts";
import { orderPlugins } from "../../../plugins/kernel/order.ts";
import * as z from "zod";
import type { Env } from "../../env.ts";
import { pushedRunner } from "../current-runner.ts";
import type { PluginRunner } from "../runner.ts";
import { sandboxedOf } from "./hooks.ts";
import { checkAllowed } from "./policy.ts";
import type { PushedPolicy } from "./policy.ts";
import { pluginFolders, readPlugin } from "./read-folder.ts";
import type { ReadPlugin } from "./read-folder.ts";

/** What setting one up may take. */
const START_LIMIT_MS = 8000;

/**
 * The plugins among a version's files, in the order of their turns; all files are here. Throws `plugins_not_allowed`,
 * `plugins_unavailable` where none can be run, `plugin_invalid`, `plugin_missing` or `plugin_cycle`.
 */
export async function checkPushedPlugins(
  env: Env,
  policy: PushedPolicy,
  version: ModelRef,
  bundle: Bundle,
): Promise<AttachedPlugin[]> {
  const folders = pluginFolders(bundle);
  if (folders.length === 0) return [];
  // Before anything of them is read.
  checkAllowed(
    policy,
    version.owner,
    folders.map((name) => ({ name, phases: [] })),
  );
  const runner = pushedRunner(env);
  const read = await Promise.all(folders.map((folder) => readPlugin(env.BLOBS, version, bundle, folder, policy)));
  checkAllowed(
    policy,
    version.owner,
    read.map(({ attached }) => attached),
  );
  const ordered = inOrder(read);
  for (const plugin of ordered) await checkStarts(runner, version, plugin, policy);
  return ordered.map(({ attached }) => attached);
}

/** By `after` and `requires`, which name plugins of the same version. */
function inOrder(read: readonly ReadPlugin[]): ReadPlugin[] {
  const asPlugins = read.map(({ attached: { name }, manifest: { after, requires } }) =>
    definePlugin({ name, apiVersion: 1, phases: [], config: z.unknown(), after, requires, setup: () => ({}) }),
  );
  return orderPlugins(asPlugins).flatMap(({ name }) => read.filter(({ attached }) => attached.name === name));
}

async function checkStarts(
  runner: PluginRunner,
  version: ModelRef,
  plugin: ReadPlugin,
  policy: PushedPolicy,
): Promise<void> {
  const { name, phases } = plugin.attached;
  const sandboxed = await sandboxedOf(version, plugin, policy);
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${START_LIMIT_MS} ms`)), START_LIMIT_MS);
  });
  try {
    const hooks = await Promise.race([runner.start(sandboxed, plugin.config), late]);
    const absent = phases.find((phase) => !hooks.includes(phase));
    if (absent !== undefined) throw new Error(`its manifest names the phase ${absent}, and it has no hook for it`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EdgeplaneError("plugin_invalid", `The plugin "${name}" can't be set up: ${reason}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
