/** Every built-in plugin, in one literal. A plugin that is not listed here does not exist for the gateway. */
import { apiKey } from "./api-key/api-key.ts";
import { contentSafety } from "./content-safety/content-safety.ts";
import type { Plugin } from "./kernel/define-plugin.ts";
import type { PluginSettings } from "./kernel/snapshot.ts";

export const catalog: readonly Plugin[] = [apiKey, contentSafety];

/** The plugins that are on, with their settings, until an operator publishes others. */
export const defaultSettings: PluginSettings = { "api-key": {} };
