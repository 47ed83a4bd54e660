/**
 * The settings that hold in this isolate, as a snapshot of plugins. Settings are numbered; number 0 is the catalog's
 * defaults, compiled in. A snapshot is built once per number and isolate and never changes; a request keeps the one it
 * began with.
 */
import { catalog, defaultSettings } from "../../plugins/catalog.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import type { Snapshot } from "../../plugins/kernel/snapshot.ts";
import type { Env } from "../env.ts";
import { createServices } from "./services.ts";

const DEFAULT_VERSION = 0;

const built = new WeakMap<D1Database, Snapshot>();

/** The snapshot that a request which begins here and now shall use. */
export async function currentSnapshot(env: Env): Promise<Snapshot> {
  const snapshot = built.get(env.DB);
  if (snapshot !== undefined) return snapshot;
  const fresh = await buildSnapshot(DEFAULT_VERSION, catalog, defaultSettings, createServices(env));
  built.set(env.DB, fresh);
  return fresh;
}
