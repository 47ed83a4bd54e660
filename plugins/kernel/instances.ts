/**
 * Plugins that are set up. An instance is kept as long as any snapshot uses it: settings that follow others share those
 * of the plugins whose own settings, and version, stayed the same.
 */
import * as z from "zod";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { canonicalJson } from "./canonical-json.ts";
import { PLUGIN_API_VERSION } from "./define-plugin.ts";
import type { Plugin, StartedHooks } from "./define-plugin.ts";
import { sha256Hex } from "./secret.ts";
import { serviceNames } from "./services.ts";
import type { Services } from "./services.ts";
import type { PluginEntry } from "./snapshot.ts";

/** A longer name of an instance is kept as its hash. */
const MAX_KEY_CHARS = 1000;

/** What one snapshot uses. */
export type Instances = {
  /** The hooks of `plugin` with this entry's settings. Throws `plugin_invalid`. */
  of(plugin: Plugin, entry: PluginEntry): Promise<StartedHooks>;
  /** Those that no other snapshot uses are given up. Never throws. */
  dispose(): Promise<void>;
};

export type InstanceStore = { forSnapshot(): Instances };

export function createInstanceStore(services: Partial<Services>): InstanceStore {
  const shared = new Map<string, { hooks: StartedHooks; users: number }>();

  function forSnapshot(): Instances {
    const own = new Map<string, StartedHooks>();
    /** Many combinations of overrides have the same entries: these are compared once. */
    const byEntry = new Map<PluginEntry, StartedHooks>();

    function use(key: string): StartedHooks | undefined {
      const known = own.get(key);
      const one = shared.get(key);
      if (known !== undefined || one === undefined) return known;
      one.users += 1;
      own.set(key, one.hooks);
      return one.hooks;
    }

    async function found(plugin: Plugin, config: unknown): Promise<StartedHooks> {
      const key = await keyOf(plugin, config);
      const known = use(key);
      if (known !== undefined) return known;
      const fresh = await start(plugin, config, services);
      // Two requests may have been here: neither waits for the other's promise, which ends with its request.
      const first = use(key);
      if (first !== undefined) {
        await disposeOf(fresh);
        return first;
      }
      shared.set(key, { hooks: fresh, users: 0 });
      return use(key) ?? fresh;
    }

    return {
      async of(plugin, entry) {
        const known = byEntry.get(entry);
        if (known !== undefined) return known;
        checkContract(plugin);
        const hooks = await found(plugin, entry.config === undefined ? {} : entry.config);
        byEntry.set(entry, hooks);
        return hooks;
      },
      async dispose() {
        const unused = [...own.keys()].flatMap((key) => {
          const one = shared.get(key);
          if (one === undefined) return [];
          one.users -= 1;
          if (one.users > 0) return [];
          shared.delete(key);
          return [one.hooks];
        });
        own.clear();
        byEntry.clear();
        await Promise.all(unused.map(disposeOf));
      },
    };
  }

  return { forSnapshot };
}

async function keyOf({ name, version }: Plugin, config: unknown): Promise<string> {
  const key = canonicalJson([name, version, config]);
  return key.length > MAX_KEY_CHARS ? sha256Hex(key) : key;
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
