/** Plugins that are set up: each with its settings, once. */
import * as z from "zod";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { PLUGIN_API_VERSION } from "./define-plugin.ts";
import type { Plugin, StartedHooks } from "./define-plugin.ts";
import { serviceNames } from "./services.ts";
import type { Services } from "./services.ts";
import type { PluginEntry } from "./snapshot.ts";

export type Instances = {
  /** The hooks of `plugin` with this entry's settings. Throws `plugin_invalid`. */
  of(plugin: Plugin, entry: PluginEntry): Promise<StartedHooks>;
  /** All are given up. Never throws. */
  dispose(): Promise<void>;
};

export function createInstances(services: Partial<Services>): Instances {
  const started = new Map<PluginEntry, StartedHooks>();
  return {
    async of(plugin, entry) {
      const known = started.get(entry);
      if (known !== undefined) return known;
      checkContract(plugin);
      const fresh = await start(plugin, entry.config === undefined ? {} : entry.config, services);
      // Two requests may have been here: neither waits for the other's promise, which ends with its request.
      const first = started.get(entry);
      if (first === undefined) {
        started.set(entry, fresh);
        return fresh;
      }
      await disposeOf(fresh);
      return first;
    },
    async dispose() {
      await Promise.all([...started.values()].map(disposeOf));
      started.clear();
    },
  };
}

async function disposeOf(hooks: StartedHooks): Promise<void> {
  try {
    await hooks.dispose?.();
  } catch {
    // It is gone either way.
  }
}

function checkContract(plugin: Plugin): void {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(plugin.name)) {
    throw new EdgeplaneError(
      "plugin_invalid",
      `"${plugin.name}" is no name for a plugin: lower-case letters, digits, hyphens.`,
    );
  }
  if (plugin.apiVersion !== PLUGIN_API_VERSION) {
    const versions = `apiVersion ${plugin.apiVersion}; this gateway speaks ${PLUGIN_API_VERSION}`;
    throw new EdgeplaneError("plugin_invalid", `Plugin "${plugin.name}" is written for ${versions}.`);
  }
  const unknown = plugin.needs.find((name) => !serviceNames.includes(name));
  if (unknown !== undefined) {
    throw new EdgeplaneError("plugin_invalid", `Plugin "${plugin.name}" needs "${unknown}", which is no service.`);
  }
}

async function start(plugin: Plugin, config: unknown, services: Partial<Services>): Promise<StartedHooks> {
  try {
    return await plugin.start(config, services);
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new EdgeplaneError("plugin_invalid", `Plugin "${plugin.name}" could not be set up: ${reason}`, { cause });
  }
}
