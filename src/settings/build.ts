/** From settings as they are kept to a snapshot that requests use. */
import type { CheckedEntry, Plugin } from "../../plugins/kernel/define-plugin.ts";
import type { InstanceStore } from "../../plugins/kernel/instances.ts";
import type { Services } from "../../plugins/kernel/services.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import type { Override, Overrides, PluginEntry, Snapshot } from "../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { priceIn } from "./prices.ts";
import type { NumberedSettings, Settings } from "./schema.ts";

/** Of accounts with models: each may be a set of plugins of its own. */
const MAX_COMBINATIONS = 20_000;

type StoredEntry = Settings["plugins"][string];

/**
 * Builds the snapshot; what `store` has of earlier ones is shared. Throws `EdgeplaneError` for settings that can't be.
 */
export async function snapshotOf(
  { number, settings }: NumberedSettings,
  plugins: readonly Plugin[],
  services: Partial<Services>,
  store?: InstanceStore,
): Promise<Snapshot> {
  const entries = mapValues(settings.plugins, entryOf);
  const snapshot = await buildSnapshot(number, plugins, entries, services, overridesOf(settings), store);
  return { ...snapshot, priceOf: (model) => priceIn(number, settings.prices, model) };
}

/**
 * Sets everything up once, for whomever it is, and gives it up again; the snapshot that is returned is only good to
 * look at. Throws `EdgeplaneError`: the first problem, and where it is.
 */
export async function trySettings(
  numbered: NumberedSettings,
  plugins: readonly Plugin[],
  services: Partial<Services>,
): Promise<Snapshot> {
  const { accounts, models } = overridesOf(numbered.settings);
  refuseUnknowable(plugins, { accounts, models });
  const snapshot = await snapshotOf(numbered, plugins, services);
  try {
    for (const account of ["", ...Object.keys(accounts)]) {
      for (const model of ["", ...Object.keys(models)]) await tryOne(snapshot, account, model);
    }
    for (const plugin of plugins) await plugin.check(entriesOf(plugin.name, numbered.settings), services);
    return snapshot;
  } finally {
    await snapshot.dispose();
  }
}

/** All that the settings have of a plugin, and for whom. */
function entriesOf(name: string, settings: Settings): CheckedEntry<unknown>[] {
  const own = (plugins: Record<string, StoredEntry | null>, account: string | null, model: string | null) => {
    const entry = Object.hasOwn(plugins, name) ? plugins[name] : undefined;
    return entry === undefined || entry === null ? [] : [{ account, model, config: entry.config ?? {} }];
  };
  return [
    ...own(settings.plugins, null, null),
    ...Object.entries(settings.accounts).flatMap(([account, { plugins }]) => own(plugins, account, null)),
    ...Object.entries(settings.models).flatMap(([model, { plugins }]) => own(plugins, null, model)),
  ];
}

async function tryOne(snapshot: Snapshot, account: string, model: string): Promise<void> {
  try {
    await snapshot.of(account, model);
  } catch (error) {
    if (!(error instanceof EdgeplaneError)) throw error;
    const where = [account === "" ? [] : [`the account ${account}`], model === "" ? [] : [`the model ${model}`]].flat();
    throw new EdgeplaneError(error.code, `For ${where.join(" and ")}: ${error.message}`, { cause: error });
  }
}

function refuseUnknowable(plugins: readonly Plugin[], { accounts, models }: Overrides): void {
  const combinations = (1 + Object.keys(accounts).length) * (1 + Object.keys(models).length);
  if (combinations > MAX_COMBINATIONS) {
    const detail = `There are ${combinations} combinations of accounts and models with settings of their own; at most ${MAX_COMBINATIONS} may be.`;
    throw new EdgeplaneError("plugin_invalid", detail);
  }
  const early = new Set(plugins.filter((one) => one.phases.includes("authenticate")).map(({ name }) => name));
  for (const override of [...Object.values(accounts), ...Object.values(models)]) {
    const name = Object.keys(override).find((one) => early.has(one));
    if (name === undefined) continue;
    const detail = `Plugin "${name}" says who calls, which is not known before it has run: it can't be set for an account or a model.`;
    throw new EdgeplaneError("plugin_invalid", detail);
  }
}

function overridesOf({ accounts, models }: Settings): Overrides {
  const override = ({ plugins }: Settings["models"][string]): Override =>
    mapValues(plugins, (entry) => (entry === null ? null : entryOf(entry)));
  return { accounts: mapValues(accounts, override), models: mapValues(models, override) };
}

function entryOf({ config, shadow, fail_mode, timeout_ms, after }: StoredEntry): PluginEntry {
  return { config, shadow, failMode: fail_mode, timeoutMs: timeout_ms, after };
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}
