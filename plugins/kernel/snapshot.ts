/** A snapshot: the plugins of one settings version, set up and in order. Built once, never changed. */
import * as z from "zod";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { PLUGIN_API_VERSION } from "./define-plugin.ts";
import type { FailMode, Plugin, StartedHooks } from "./define-plugin.ts";
import { orderPlugins } from "./order.ts";
import { phases } from "./phases.ts";
import type { Hook, Judge, Phase } from "./phases.ts";
import { serviceNames } from "./services.ts";
import type { Services } from "./services.ts";

/** A hook with what the pipeline needs to run it. */
export type BoundHook<P extends Phase> = {
  readonly plugin: string;
  readonly failMode: FailMode;
  readonly timeoutMs: number;
  /** It lets all through; what it would have refused or changed is recorded. */
  readonly shadow: boolean;
  /** False: it only judges, and runs beside its neighbours that do. */
  readonly mutates: boolean;
  readonly run: Hook<P>;
};

export type BoundHooks = { readonly [P in Phase]: readonly BoundHook<P>[] };

export type Snapshot = {
  /** The number of the settings it was built from. */
  readonly version: number;
  readonly hooks: BoundHooks;
  /** Called once, when nobody uses it any more: the plugins give up what they hold. Never throws. */
  dispose(): Promise<void>;
};

/** How one plugin is set: its own settings, and what the operator decides over its head. */
export type PluginEntry = {
  readonly config?: unknown;
  readonly shadow?: boolean | undefined;
  /** In place of the plugin's own. */
  readonly failMode?: FailMode | undefined;
  readonly timeoutMs?: number | undefined;
  /** Besides the plugin's own. */
  readonly after?: readonly string[] | undefined;
};

/** Which plugins are on, with the settings of each. A plugin that is not named is off. */
export type PluginSettings = Readonly<Record<string, PluginEntry>>;

/**
 * Builds the snapshot of settings `version`. Throws `EdgeplaneError`: `plugin_missing`, `plugin_cycle` or
 * `plugin_duplicate` for an order that can't be, `plugin_invalid` for settings, needs or hooks that don't fit.
 */
export async function buildSnapshot(
  version: number,
  catalog: readonly Plugin[],
  settings: PluginSettings,
  services: Partial<Services>,
): Promise<Snapshot> {
  const active = activePlugins(catalog, settings);
  const started: StartedHooks[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.allSettled(started.map(async (one) => one.dispose?.()));
  };
  const hooks = noHooks();
  try {
    for (const plugin of active) {
      checkContract(plugin);
      const entry = settings[plugin.name] ?? {};
      const own = await start(plugin, entry.config === undefined ? {} : entry.config, services);
      started.push(own);
      for (const phase of plugin.phases) bind(hooks, phase, plugin, entry, own);
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  for (const phase of phases) Object.freeze(hooks[phase]);
  return Object.freeze({ version, hooks: Object.freeze(hooks), dispose });
}

/** Those of the catalog that are on, in their order. Throws as `buildSnapshot` does. */
function activePlugins(catalog: readonly Plugin[], settings: PluginSettings): Plugin[] {
  const known = new Set(catalog.map((plugin) => plugin.name));
  for (const [name, { after = [] }] of Object.entries(settings)) {
    const unknown = [name, ...after].find((one) => !known.has(one));
    if (unknown !== undefined) throw new EdgeplaneError("plugin_missing", `The catalog has no plugin "${unknown}".`);
  }
  const on = catalog.filter((plugin) => Object.hasOwn(settings, plugin.name));
  return orderPlugins(on, (plugin) => settings[plugin.name]?.after ?? []);
}

function noHooks(): { [P in Phase]: BoundHook<P>[] } {
  return { authenticate: [], admit: [], screenInput: [], route: [], screenOutput: [], onResult: [] };
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

function bind<P extends Phase>(
  hooks: { [Q in Phase]: BoundHook<Q>[] },
  phase: P,
  plugin: Plugin,
  entry: PluginEntry,
  started: StartedHooks,
): void {
  const hook = started[phase];
  if (hook === undefined) {
    throw new EdgeplaneError(
      "plugin_invalid",
      `Plugin "${plugin.name}" names the phase ${phase} but has no hook for it.`,
    );
  }
  const only = "judge" in hook ? (hook as Judge<P>).judge : null;
  hooks[phase].push(
    Object.freeze({
      plugin: plugin.name,
      failMode: entry.failMode ?? plugin.failMode,
      timeoutMs: entry.timeoutMs ?? plugin.timeoutMs,
      shadow: entry.shadow ?? false,
      mutates: only === null,
      run: only ?? (hook as Hook<P>),
    }),
  );
}
