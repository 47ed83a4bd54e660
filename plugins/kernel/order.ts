/** The order of plugins: from `after` and `requires`, never from a magic number. */
import { EdgeplaneError } from "../../src/contract/errors.ts";
import type { Plugin } from "./define-plugin.ts";

/**
 * Sorts plugins so that each stands behind what it names in `after` and `requires`, and behind those of `alsoAfter`;
 * where these leave it open, the order of the catalog stays.
 *
 * Throws `EdgeplaneError`: `plugin_duplicate` for a name that is there twice, `plugin_missing` for a required plugin
 * that is not on, `plugin_cycle` for plugins that wait for each other (the message names them).
 */
export function orderPlugins(
  plugins: readonly Plugin[],
  alsoAfter: (plugin: Plugin) => readonly string[] = () => [],
): Plugin[] {
  const byName = new Map<string, Plugin>();
  for (const plugin of plugins) {
    if (byName.has(plugin.name))
      throw new EdgeplaneError("plugin_duplicate", `Two plugins are named "${plugin.name}".`);
    byName.set(plugin.name, plugin);
  }
  for (const plugin of plugins) {
    for (const name of plugin.requires) {
      if (byName.has(name)) continue;
      throw new EdgeplaneError("plugin_missing", `Plugin "${plugin.name}" requires "${name}", which is not on.`);
    }
  }
  const sorted: Plugin[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (plugin: Plugin): void => {
    if (done.has(plugin.name)) return;
    const seenAt = path.indexOf(plugin.name);
    if (seenAt >= 0) {
      const cycle = [...path.slice(seenAt), plugin.name].join(" → ");
      throw new EdgeplaneError("plugin_cycle", `Plugins wait for each other: ${cycle}.`);
    }
    path.push(plugin.name);
    for (const name of [...plugin.after, ...plugin.requires, ...alsoAfter(plugin)]) {
      const before = byName.get(name);
      if (before !== undefined) visit(before);
    }
    path.pop();
    done.add(plugin.name);
    sorted.push(plugin);
  };
  for (const plugin of plugins) visit(plugin);
  return sorted;
}
