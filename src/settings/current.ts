/** The settings that hold in this isolate, as a snapshot of plugins. */
import { waitUntil } from "cloudflare:workers";
import { createInstanceStore } from "../../plugins/kernel/instances.ts";
import type { Env } from "../env.ts";
import { auditService } from "../audit/current.ts";
import { callObject } from "../object-calls.ts";
import { within } from "../shard/within.ts";
import { log } from "../telemetry/log.ts";
import { countAudit, takeAuditCounts } from "../telemetry/audit-counts.ts";
import { countVerdict, takeVerdictCounts } from "../telemetry/verdict-counts.ts";
import { snapshotOf } from "./build.ts";
import { availablePlugins } from "./plugins.ts";
import { settingsObject } from "./remote.ts";
import type { NumberedSettings } from "./schema.ts";
import { createServices } from "./services.ts";
import type { Refresh } from "./settings-object.ts";
import { createSnapshots } from "./snapshots.ts";
import type { Lease, Snapshots } from "./snapshots.ts";
import { pointersTo } from "./stored.ts";

/** Of one read: a request that waits for it waits no longer. */
const READ_LIMIT_MS = 2000;
/** Of what this release leaves out of the settings, so much is named in the log. */
const NAMED = 20;

/** By the bindings that it is made of. */
const kept = new WeakMap<Env["SETTINGS"], WeakMap<D1Database, Snapshots>>();

/**
 * The snapshot that a request which begins here and now shall use; it is released with the request. Throws
 * `unavailable`.
 */
export function leaseSnapshot(env: Env): Promise<Lease> {
  const byDatabase = kept.get(env.SETTINGS) ?? new WeakMap<D1Database, Snapshots>();
  kept.set(env.SETTINGS, byDatabase);
  const snapshots = byDatabase.get(env.DB) ?? snapshotsOf(env);
  byDatabase.set(env.DB, snapshots);
  return snapshots.lease();
}

function snapshotsOf(env: Env): Snapshots {
  const services = createServices(env);
  const store = createInstanceStore(services);
  return createSnapshots({
    now: () => Date.now(),
    read: (refresh) => readAndTell(env, refresh),
    build: async (numbered) => {
      tellIgnored(numbered);
      return snapshotOf(numbered, await availablePlugins(env, numbered.settings, "when called"), services, store);
    },
    background: (work) => waitUntil(work),
  });
}

function tellIgnored({ number, ignored = [] }: NumberedSettings): void {
  if (ignored.length === 0) return;
  const paths = pointersTo(ignored);
  log.warn("settings_partly_unknown", { number, count: paths.length, paths: paths.slice(0, NAMED).join(" ") });
}

/** Reads the settings, and tells what plugins decided since the last time. */
async function readAndTell(env: Env, refresh: Refresh): Promise<NumberedSettings | null> {
  const verdicts = takeVerdictCounts();
  const audit = takeAuditCounts();
  auditService(env).goOn();
  try {
    const answer = callObject(() => settingsObject(env).refresh(refresh, verdicts, audit));
    return await within(answer, READ_LIMIT_MS);
  } catch (error) {
    for (const { plugin, phase, action, count } of verdicts) countVerdict(plugin, phase, action, count);
    countAudit("published", audit.published);
    countAudit("dropped", audit.dropped);
    throw error;
  }
}
