/** A snapshot: the plugins of one settings version, set up and in order. Built once, never changed. */
import { EdgeplaneError } from "../../src/contract/errors.ts";
import type { Price } from "../../src/contract/price.ts";
import type { FailMode, Plugin, StartedHooks } from "./define-plugin.ts";
import { createInstanceStore } from "./instances.ts";
import type { Instances, InstanceStore } from "./instances.ts";
import { orderPlugins } from "./order.ts";
import { phases } from "./phases.ts";
import type { Hook, Judge, Phase } from "./phases.ts";
import type { Services } from "./services.ts";
import type { VerdictObserver } from "./verdict-events.ts";

/** A hook with what the pipeline needs to run it. */
export type BoundHook<P extends Phase> = {
  readonly plugin: string;
  readonly failMode: FailMode;
  readonly timeoutMs: number;
  /** It lets all through; what it would have refused or changed is recorded. */
  readonly shadow: boolean;
  /** False: it only judges, and runs beside its neighbours that do. */
  readonly mutates: boolean;
  /** It may answer a prediction itself. */
  readonly answers?: boolean;
  /** It came with a pushed version: what it does is its owner's concern, and metrics count all such as one. */
  readonly isPushed?: boolean;
  readonly run: Hook<P>;
};

/** The hooks that run for some request, by phase and in order. */
export type Hooks = {
  readonly hooks: { readonly [P in Phase]: readonly BoundHook<P>[] };
  /** The number of the settings. */
  readonly version?: number;
  /** Who is told of verdicts, by plugin. */
  readonly observers?: readonly { readonly plugin: string; readonly onVerdict: VerdictObserver }[];
};

/** `hooks`: those where nothing is overridden; they are all that `authenticate` knows. */
export type Snapshot = Hooks & {
  /** The number of the settings it was built from. */
  readonly version: number;
  /** The phases in which any plugin may run, for whomever. */
  readonly phases: ReadonlySet<Phase>;
  /** Whether a plugin that screens output may ask models of the pools. */
  readonly asksModels: boolean;
  /**
   * The hooks for an account and a model (`owner/name`). What is overridden for the account comes before what is for
   * the model. Throws `plugin_invalid` when a plugin can't be set up.
   */
  of(accountId: string, model: string): Hooks | Promise<Hooks>;
  /** What predictions of a model (`owner/name`) cost; null: nothing. */
  priceOf(model: string): Price | null;
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

/** By plugin: what holds in place of the general entry, whole; null turns it off. */
export type Override = Readonly<Record<string, PluginEntry | null>>;

/** By account id, and by model (`owner/name`). Plugins of `authenticate` can't be overridden: nobody is known there. */
export type Overrides = {
  readonly accounts: Readonly<Record<string, Override>>;
  readonly models: Readonly<Record<string, Override>>;
};

const NO_OVERRIDES: Overrides = { accounts: {}, models: {} };

/**
 * Builds the snapshot of settings `version`; what is overridden is set up when it is first asked for. What `store` has
 * of earlier ones is shared. Throws
 * `EdgeplaneError`: `plugin_missing`, `plugin_cycle` or `plugin_duplicate` for an order that can't be, `plugin_invalid`
 * for settings, needs or hooks that don't fit.
 */
export async function buildSnapshot(
  version: number,
  catalog: readonly Plugin[],
  settings: PluginSettings,
  services: Partial<Services>,
  overrides: Overrides = NO_OVERRIDES,
  store: InstanceStore = createInstanceStore(services),
): Promise<Snapshot> {
  const instances = store.forSnapshot();
  const all = [settings, ...Object.values(overrides.accounts), ...Object.values(overrides.models)];
  for (const some of all) checkNames(catalog, some);
  const variants = new Map<string, Hooks>();
  try {
    const base = await bindAll(catalog, settings, instances, version);
    return Object.freeze({
      ...base,
      version,
      phases: phasesOf(catalog, all),
      asksModels: onIn(catalog, all).some(
        ({ needs, phases: own }) => needs.includes("models") && own.includes("screenOutput"),
      ),
      of(accountId: string, model: string): Hooks | Promise<Hooks> {
        const ofAccount = own(overrides.accounts, accountId);
        const ofModel = own(overrides.models, model);
        if (ofAccount === undefined && ofModel === undefined) return base;
        const key = JSON.stringify([ofAccount === undefined ? null : accountId, ofModel === undefined ? null : model]);
        const known = variants.get(key);
        if (known !== undefined) return known;
        const wanted = overridden(overridden(settings, ofModel ?? {}), ofAccount ?? {});
        return bindAll(catalog, wanted, instances, version).then((hooks) => {
          variants.set(key, hooks);
          return hooks;
        });
      },
      priceOf: () => null,
      dispose: () => instances.dispose(),
    });
  } catch (error) {
    await instances.dispose();
    throw error;
  }
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function overridden(settings: PluginSettings, override: Override): PluginSettings {
  const merged = Object.entries({ ...settings, ...override });
  return Object.fromEntries(merged.filter((entry): entry is [string, PluginEntry] => entry[1] !== null));
}

function checkNames(catalog: readonly Plugin[], settings: Override): void {
  const known = new Set(catalog.map((plugin) => plugin.name));
  for (const [name, entry] of Object.entries(settings)) {
    const unknown = [name, ...(entry?.after ?? [])].find((one) => !known.has(one));
    if (unknown !== undefined) throw new EdgeplaneError("plugin_missing", `The catalog has no plugin "${unknown}".`);
  }
}

function phasesOf(catalog: readonly Plugin[], all: readonly Override[]): ReadonlySet<Phase> {
  return new Set(onIn(catalog, all).flatMap((plugin) => plugin.phases));
}

/** The plugins that are on, for whomever. */
function onIn(catalog: readonly Plugin[], all: readonly Override[]): Plugin[] {
  const on = new Set(all.flatMap((some) => Object.keys(some).filter((name) => some[name] !== null)));
  return catalog.filter(({ name }) => on.has(name));
}

/** The hooks of those of the catalog that are on, in order. */
async function bindAll(
  catalog: readonly Plugin[],
  settings: PluginSettings,
  instances: Instances,
  version: number,
): Promise<Hooks> {
  const on = catalog.filter((plugin) => Object.hasOwn(settings, plugin.name));
  const ordered = orderPlugins(on, (plugin) => settings[plugin.name]?.after ?? []);
  const hooks: { [P in Phase]: BoundHook<P>[] } = {
    authenticate: [],
    admit: [],
    screenInput: [],
    route: [],
    screenOutput: [],
    onResult: [],
  };
  const observers: { plugin: string; onVerdict: VerdictObserver }[] = [];
  for (const plugin of ordered) {
    const entry = settings[plugin.name];
    if (entry === undefined) continue;
    const started = await instances.of(plugin, entry);
    for (const phase of plugin.phases) hooks[phase].push(bind(phase, plugin, entry, started) as never);
    if (plugin.observes) observers.push({ plugin: plugin.name, onVerdict: observerOf(plugin, started) });
  }
  // What others would change or refuse, they have when a plugin answers the prediction itself.
  hooks.route.sort((a, b) => Number(a.answers) - Number(b.answers));
  for (const phase of phases) Object.freeze(hooks[phase]);
  return Object.freeze({ hooks: Object.freeze(hooks), version, observers: Object.freeze(observers) });
}

function observerOf({ name }: Plugin, { onVerdict }: StartedHooks): VerdictObserver {
  if (onVerdict !== undefined) return onVerdict;
  throw new EdgeplaneError("plugin_invalid", `Plugin "${name}" says that it observes but has no \`onVerdict\`.`);
}

function bind<P extends Phase>(phase: P, plugin: Plugin, entry: PluginEntry, started: StartedHooks): BoundHook<P> {
  const hook = started[phase];
  if (hook === undefined) {
    throw new EdgeplaneError(
      "plugin_invalid",
      `Plugin "${plugin.name}" names the phase ${phase} but has no hook for it.`,
    );
  }
  const only = "judge" in hook ? (hook as Judge<P>).judge : null;
  return Object.freeze({
    plugin: plugin.name,
    failMode: entry.failMode ?? plugin.failMode,
    timeoutMs: entry.timeoutMs ?? plugin.timeoutMs,
    shadow: entry.shadow ?? false,
    mutates: only === null,
    answers: plugin.answers && phase === "route",
    run: only ?? (hook as Hook<P>),
  });
}
