/** Publishing: everything is checked first, and what is bad is refused with the reason. */
import { phases } from "../../plugins/kernel/phases.ts";
import type { Phase } from "../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { callObject } from "../object-calls.ts";
import { findAccount } from "../registry/accounts.ts";
import { trySettings } from "./build.ts";
import { asJson, diffOf } from "./diff.ts";
import type { Change } from "./diff.ts";
import { availablePlugins } from "./plugins.ts";
import { settingsObject } from "./remote.ts";
import type { RemoteSettings } from "./remote.ts";
import { firstSettings, keptForm } from "./schema.ts";
import type { Ignored, NumberedSettings, Settings } from "./schema.ts";
import { createServices } from "./services.ts";
import type { Publication } from "./store.ts";
import { unreadableIn, withIgnored } from "./stored.ts";
import { refuseImpossible, warningsOf } from "./unknown-models.ts";

/** Accounts are looked up side by side, so many at a time. */
const PARALLEL_LOOKUPS = 20;

export type PublishRequest = {
  by: string;
  why: string;
  /** The number that must hold now, or null: whichever does. */
  expected: number | null;
  dryRun: boolean;
  restores: number | null;
};

/**
 * `publication` null: it was a dry run. `order`: which plugins run, by phase. `carried`: what this release leaves out
 * of what is stored. `warnings`: what is allowed and may be an oversight.
 */
export type Published = {
  publication: Publication | null;
  order: { [P in Phase]: string[] };
  changes: Change[];
  carried: readonly Ignored[];
  warnings: string[];
};

/**
 * Publishes `settings`; what was left out of those that hold, or else of those that are restored, stays stored with
 * them. Throws `EdgeplaneError`: what is wrong with them, or `conflict` when the number that holds isn't the expected
 * one.
 */
export async function publishSettings(
  env: Env,
  given: Settings,
  request: PublishRequest,
  restored: NumberedSettings | null = null,
): Promise<Published> {
  const { by, why, expected, dryRun, restores } = request;
  if (restores === null) refuseImpossible(given);
  const settings = await withAccountIds(env, given);
  const object = settingsObject(env);
  const before = await readBefore(env);
  const number = before?.numbered.number ?? (await callObject(() => settingsObject(env).stats())).number;
  if (expected !== null && expected !== number) throw moved(expected, number);
  const order = await orderOf(env, { number: number + 1, settings });
  const changes = diffOf(asJson(before?.numbered.settings ?? null), asJson(settings));
  const base = restored ?? before?.numbered ?? firstSettings;
  const { stored, carried } = withIgnored(keptForm(settings), settings, base);
  const warnings = await warningsOf(env.DB, settings);
  if (dryRun) return { publication: null, order, changes, carried, warnings };
  const publication = await object.publish(stored, { at: Date.now(), by, why, restores }, number);
  if (publication === null) throw moved(number, null);
  return { publication, order, changes, carried, warnings };
}

/** Settings as they are kept. Throws `invalid_input` for an account that isn't there. */
export async function withAccountIds(env: Env, settings: Settings): Promise<Settings> {
  return { ...settings, accounts: await byAccountId(env.DB, settings.accounts) };
}

/** Sets all up once, and tells the order. Throws `EdgeplaneError`. */
export async function orderOf(env: Env, numbered: NumberedSettings): Promise<{ [P in Phase]: string[] }> {
  const plugins = await availablePlugins(env, numbered.settings, "at once");
  const snapshot = await trySettings(numbered, plugins, createServices(env));
  return Object.fromEntries(phases.map((phase) => [phase, snapshot.hooks[phase].map(({ plugin }) => plugin)])) as {
    [P in Phase]: string[];
  };
}

/**
 * The settings of `number`, or those that hold. Throws `not_found`, or `unavailable` where this release can't read
 * them.
 */
export async function readSettings(env: Env, number: number | null): Promise<Found> {
  const found = await callObject(() => settingsObject(env).read(number)).catch((error: unknown) => {
    const unknown = unreadableIn(error);
    if (unknown === null) throw error;
    const which = number === null ? "The settings that hold" : `The settings of the number ${number}`;
    const mend =
      "Deploy the later release that published them again, or publish others " +
      "(POST /admin/v1/settings/rollback with an earlier number).";
    const detail = `${which} say what this release doesn't know: ${unknown}. ${mend}`;
    throw new EdgeplaneError("unavailable", detail, { cause: error });
  });
  if (found === null) throw new EdgeplaneError("not_found", `There are no settings of the number ${number}.`);
  return found;
}

type Found = NonNullable<Awaited<ReturnType<RemoteSettings["read"]>>>;

/** Those that hold; null where a later release published them so that this one can't read them: others may follow. */
async function readBefore(env: Env): Promise<Found | null> {
  try {
    return await callObject(() => settingsObject(env).read(null));
  } catch (error) {
    if (unreadableIn(error) === null) throw error;
    return null;
  }
}

/** Accounts are named by id or name, and kept by id. Throws `invalid_input` for one that isn't there. */
async function byAccountId(db: D1Database, accounts: Settings["accounts"]): Promise<Settings["accounts"]> {
  const entries = Object.entries(accounts);
  const found: [string, Settings["accounts"][string]][] = [];
  for (let start = 0; start < entries.length; start += PARALLEL_LOOKUPS) {
    const part = entries.slice(start, start + PARALLEL_LOOKUPS);
    found.push(...(await Promise.all(part.map(async ([name, entry]) => withId(db, name, entry)))));
  }
  const ids = found.map(([id]) => id);
  const twice = ids.findIndex((id, index) => ids.indexOf(id) < index);
  if (twice >= 0) throw wrongAccount(entries[twice]?.[0] ?? "", "is named twice, by its id and by its name");
  return Object.fromEntries(found);
}

async function withId<T>(db: D1Database, name: string, entry: T): Promise<[string, T]> {
  const account = await findAccount(db, name);
  if (account !== null) return [account.id, entry];
  throw wrongAccount(name, "there is no such account");
}

function wrongAccount(name: string, description: string): EdgeplaneError {
  const field = `settings.accounts.${name}`;
  return new EdgeplaneError("invalid_input", `- ${field}: ${description}\n`, {
    invalidFields: [{ field, description }],
  });
}

function moved(expected: number, number: number | null): EdgeplaneError {
  const now = number === null ? "others were published meanwhile" : `now ${number} holds`;
  return new EdgeplaneError(
    "conflict",
    `The settings were to replace number ${expected}, but ${now}: read them again.`,
  );
}
