/** The plugins that settings may turn on. */
import { catalog } from "../../plugins/catalog.ts";
import type { Plugin } from "../../plugins/kernel/define-plugin.ts";

export function availablePlugins(): readonly Plugin[] {
  return catalog;
}
