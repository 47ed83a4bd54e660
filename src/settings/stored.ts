/**
 * Reads settings as they are stored, which a later release may have written: what this one doesn't know it leaves out
 * and names, so that a release that is put back serves by the rest. What it can't leave out without weakening a guard,
 * a plugin that must not be passed by, stays in, and refuses requests.
 */
import type * as z from "zod";
import { catalog } from "../../plugins/catalog.ts";
import type { Json } from "../contract/prediction.ts";
import { asJson, pointerOf } from "./diff.ts";
import { SettingsSchema } from "./schema.ts";
import type { Ignored, KeptSettings, NumberedSettings, Settings } from "./schema.ts";

type Path = Ignored["path"];
type JsonObject = { [key: string]: Json };
type StoredSettings = { settings: Settings; ignored: Ignored[] };

/** What nothing but a report is made of: it may be left out whole. */
const REPORTED_KEYS = ["rents"];
const UNREADABLE = "settings_unreadable: ";
const NAMED_ISSUES = 5;

/** Stored settings hold values that this release doesn't know, and may not leave out. */
class UnreadableSettingsError extends Error {
  constructor({ issues }: z.ZodError) {
    const named = issues.slice(0, NAMED_ISSUES).map(({ path, message }) => `${pointerOf(path.map(keyOf))}: ${message}`);
    super(UNREADABLE + named.join("; "));
    this.name = "UnreadableSettingsError";
  }
}

/** What of stored settings this release can't read, by the error of who tried; null: it is another error. */
export function unreadableIn(error: unknown): string | null {
  const message = error instanceof Error ? error.message : "";
  return message.startsWith(UNREADABLE) ? message.slice(UNREADABLE.length) : null;
}

/** Throws `UnreadableSettingsError` for values that this release doesn't know, where leaving them out isn't safe. */
export function readStored(stored: Json): StoredSettings {
  const ignored: Ignored[] = [];
  const known = withoutReports(pruned(SettingsSchema, stored, [], ignored), ignored);
  const parsed = SettingsSchema.safeParse(known);
  if (!parsed.success) throw new UnreadableSettingsError(parsed.error);
  const settings = parsed.data;
  const names = new Set([...catalog.map(({ name }) => name), ...Object.keys(settings.uploads)]);
  const of = <T extends Settings["models"][string]["plugins"]>(plugins: T, path: Path): T =>
    knownPlugins(plugins, names, path, ignored);
  const overrides = (all: Settings["models"], key: string): Settings["models"] =>
    mapValues(all, (one, name) => ({ ...one, plugins: of(one.plugins, [key, name, "plugins"]) }));
  return {
    settings: {
      ...settings,
      plugins: of(settings.plugins, ["plugins"]),
      accounts: overrides(settings.accounts, "accounts"),
      models: overrides(settings.models, "models"),
    },
    ignored,
  };
}

/**
 * What is stored when `next` follows settings of which something was left out: that goes with it, unless what it
 * stood in is gone. `kept`: `next` in the form that is stored.
 */
export function withIgnored(
  kept: KeptSettings,
  next: Settings,
  { settings: before, ignored = [] }: NumberedSettings,
): { stored: KeptSettings; carried: Ignored[] } {
  if (ignored.length === 0) return { stored: kept, carried: [] };
  const [from, to] = [asJson(before), asJson(next)];
  const carried = ignored.filter(({ path }) => isStillThere(to, from, path));
  const stored = carried.reduce<Json>((document, { path, value }) => put(document, path, value), asJson(kept));
  return { stored: stored as KeptSettings, carried };
}

/** JSON pointers to what was left out. */
export function pointersTo(ignored: readonly Ignored[]): string[] {
  return ignored.map(({ path }) => pointerOf(path));
}

/** Without what only a report reads, where this release can't read it. */
function withoutReports(stored: Json, ignored: Ignored[]): Json {
  const parsed = SettingsSchema.safeParse(stored);
  const unknown = parsed.success ? [] : parsed.error.issues.map(({ path: [key] }) => String(key));
  return REPORTED_KEYS.filter((key) => unknown.includes(key)).reduce<Json>((known, key) => {
    ignored.push({ path: [key], value: child(known, key) ?? null });
    return without(known, [key]);
  }, stored);
}

/**
 * Without the plugins that this release doesn't have or whose settings it can't read, where they may be passed by, and
 * without keys that theirs don't know.
 */
function knownPlugins<T extends Settings["models"][string]["plugins"]>(
  plugins: T,
  names: ReadonlySet<string>,
  at: Path,
  ignored: Ignored[],
): T {
  const entries = Object.entries(plugins).flatMap(([name, entry]) => {
    const path = [...at, name];
    const left: Ignored[] = [];
    const known = entry === null ? null : knownEntry(name, entry, names, path, left);
    if (mayBePassedBy(entry) && !(names.has(name) && isReadable(name, known))) {
      ignored.push({ path, value: asJson(entry) });
      return [];
    }
    ignored.push(...left);
    return [[name, known] as const];
  });
  return Object.fromEntries(entries) as T;
}

/** A guard that can't run blocks, unless its operator said otherwise. */
function mayBePassedBy(entry: Settings["plugins"][string] | null): boolean {
  return entry === null || entry.fail_mode === "open" || entry.shadow === true;
}

function isReadable(name: string, entry: Settings["plugins"][string] | null): boolean {
  const schema = catalog.find((plugin) => plugin.name === name)?.config;
  return entry === null || schema === undefined || schema.safeParse(entry.config ?? {}).success;
}

function knownEntry(
  name: string,
  entry: Settings["plugins"][string],
  names: ReadonlySet<string>,
  path: Path,
  ignored: Ignored[],
): Settings["plugins"][string] {
  const known = { ...entry };
  if (entry.after !== undefined) {
    known.after = entry.after.filter((one, index) => {
      if (!names.has(one)) ignored.push({ path: [...path, "after", index], value: one });
      return names.has(one);
    });
  }
  const schema = catalog.find((plugin) => plugin.name === name)?.config;
  if (schema !== undefined && entry.config !== undefined)
    known.config = pruned(schema, entry.config, [...path, "config"], ignored);
  return known;
}

/** `value` without keys that `schema` refuses as unknown; each is noted under `at`. */
function pruned(schema: z.ZodType, value: Json, at: Path, ignored: Ignored[]): Json {
  let known = value;
  for (;;) {
    const parsed = schema.safeParse(known);
    const unknown = parsed.success ? [] : parsed.error.issues.flatMap(unknownKeys);
    if (unknown.length === 0) return known;
    for (const path of unknown) {
      ignored.push({ path: [...at, ...path], value: path.reduce<Json | undefined>(child, known) ?? null });
      known = without(known, path);
    }
  }
}

/** In a union, what the alternatives alike don't know can't be told: it is refused as any other fault. */
function unknownKeys(issue: z.core.$ZodIssue): Path[] {
  if (issue.code !== "unrecognized_keys") return [];
  return issue.keys.map((key) => [...issue.path.map(keyOf), key]);
}

function keyOf(key: PropertyKey): string | number {
  return typeof key === "number" ? key : String(key);
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function child(value: Json | undefined, key: string | number): Json | undefined {
  if (Array.isArray(value)) return typeof key === "number" ? value[key] : undefined;
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function without(value: Json, [key, ...rest]: Path): Json {
  if (key === undefined) return value;
  if (Array.isArray(value)) return value.map((one, index) => (index === key ? without(one, rest) : one));
  if (!isObject(value)) return value;
  const entries = Object.entries(value);
  if (rest.length === 0) return Object.fromEntries(entries.filter(([name]) => name !== key));
  return Object.fromEntries(entries.map(([name, one]) => [name, name === key ? without(one, rest) : one]));
}

/** Whether what it stood in is there in `next`, in no list that is another now. */
function isStillThere(next: Json | undefined, before: Json | undefined, [key, ...rest]: Path): boolean {
  if (key === undefined) return false;
  if (Array.isArray(next)) return JSON.stringify(next) === JSON.stringify(before);
  if (!isObject(next)) return false;
  return rest.length === 0 ? !Object.hasOwn(next, key) : isStillThere(child(next, key), child(before, key), rest);
}

/** What lies between is made where the stored form leaves it out. */
function put(value: Json | undefined, [key, ...rest]: Path, leaf: Json): Json {
  if (key === undefined) return leaf;
  if (Array.isArray(value) && typeof key === "number")
    return value.toSpliced(key, rest.length === 0 ? 0 : 1, put(value[key], rest, leaf));
  const object = isObject(value) ? value : {};
  return { ...object, [key]: put(child(object, key), rest, leaf) };
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}
