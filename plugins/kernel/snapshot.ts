/** A snapshot: the plugins of one settings version, set up and in order. Built once, never changed. */
import * as z from "zod";
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { PLUGIN_API_VERSION } from "./define-plugin.ts";
import type { FailMode, Plugin } from "./define-plugin.ts";
import { orderPlugins } from "./order.ts";
import { phases } from "./phases.ts";
import type { Hook, Phase } from "./phases.ts";
import { serviceNames } from "./services.ts";
import type { Services } from "./services.ts";

/** A hook with what the pipeline needs to run it. */
export type BoundHook<P extends Phase> = {
  readonly plugin: string;
  readonly failMode: FailMode;
  readonly timeoutMs: number;
  readonly run: Hook<P>;
};

export type Snapshot = {
  /** The number of the settings it was built from. */
  readonly version: number;
  readonly hooks: { readonly [P in Phase]: readonly BoundHook<P>[] };
};

/** Which plugins are on, with the settings of each. A plugin that is not named is off. */
export type PluginSettings = Readonly<Record<string, unknown>>;

/**
 * Builds the snapshot of settings `version`. Throws `EdgeplaneError`: `plugin_missing`, `plugin_cycle` or
 * `plugin_duplicate` for an order that can't be, `plugin_invalid` for settings, needs or hooks that don't fit.
 */
export async function buildSnapshot(
  version: number,
  catalog: readonly Plugin[],
  settings: PluginSettings,
  services: Services,
): Promise<Snapshot> {
  const known = new Set(catalog.map((plugin) => plugin.name));
  for (const name of Object.keys(settings)) {
    if (!known.has(name)) throw new EdgeplaneError("plugin_missing", `The catalog has no plugin "${name}".`);
  }
  const active = orderPlugins(catalog.filter((plugin) => Object.hasOwn(settings, plugin.name)));
  const hooks: { [P in Phase]: BoundHook<P>[] } = {
    authenticate: [],
    admit: [],
    screenInput: [],
    route: [],
    screenOutput: [],
    onResult: [],
  };
  for (const plugin of active) {
    checkContract(plugin);
    const started = await start(plugin, settings[plugin.name], services);
    for (const phase of plugin.phases) bind(hooks, phase, plugin, started);
  }
  for (const phase of phases) Object.freeze(hooks[phase]);
  return Object.freeze({ version, hooks: Object.freeze(hooks) });
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

async function start(
  plugin: Plugin,
  settings: unknown,
  services: Services,
): Promise<Partial<{ [P in Phase]: Hook<P> }>> {
  try {
    return await plugin.start(settings, services);
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new EdgeplaneError("plugin_invalid", `Plugin "${plugin.name}" could not be set up: ${reason}`, { cause });
  }
}

function bind<P extends Phase>(
  hooks: { [Q in Phase]: BoundHook<Q>[] },
  phase: P,
  plugin: Plugin,
  started: Partial<{ [Q in Phase]: Hook<Q> }>,
): void {
  const run = started[phase];
  if (run === undefined) {
    throw new EdgeplaneError(
      "plugin_invalid",
      `Plugin "${plugin.name}" names the phase ${phase} but has no hook for it.`,
    );
  }
  hooks[phase].push(
    Object.freeze({ plugin: plugin.name, failMode: plugin.failMode, timeoutMs: plugin.timeoutMs, run }),
  );
}
