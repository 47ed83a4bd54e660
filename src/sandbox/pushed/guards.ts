/** The plugins that came with a version, ready for one request. Where they can't run, what they guard is refused. */
import { waitUntil } from "cloudflare:workers";
import type { AttachedPlugin } from "../../contract/attached-plugin.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { ModelRef } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import { createTtlCache } from "../../../plugins/kernel/ttl-cache.ts";
import { findAccount } from "../../registry/accounts.ts";
import { notePluginProblem } from "../../registry/bundles.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import { pushedRunner } from "../current-runner.ts";
import { pushedHooks, refusingHooks } from "./hooks.ts";
import type { OnFault, PushedHooks } from "./hooks.ts";
import { checkAllowed } from "./policy.ts";
import type { PushedPolicy } from "./policy.ts";
import { loadPlugin } from "./read-folder.ts";
import type { PushedPlugin } from "./read-folder.ts";

/** Of a version's problem, one is noted in so long. */
const NOTED_MS = 60_000;
const NOTED_VERSIONS = 1000;
const MAX_PROBLEM_CHARS = 1000;
/** What a version has never changes; an isolate keeps what it read lately. */
const KEPT_MS = 3_600_000;
const kept = createTtlCache<PushedPlugin>(200, {
  maxBytes: 16 * 1024 * 1024,
  bytesOf: ({ code, config }) => 2 * (code.length + JSON.stringify(config).length),
});
const noted = createTtlCache<true>(NOTED_VERSIONS);

/**
 * The hooks of a version's `plugins`; null: nobody knows them any more. Throws where their files can't be read now.
 * Plugins that may not run, or whose files are gone, leave hooks that refuse. `onFault`: in place of a note for the
 * version's owner.
 */
export async function guardsOf(
  env: Env,
  policy: PushedPolicy,
  version: ModelRef,
  plugins: readonly AttachedPlugin[] | null,
  onFault: OnFault = noting(env, version),
): Promise<PushedHooks> {
  try {
    if (plugins === null)
      throw new EdgeplaneError("guard_unavailable", "The plugins that came with the version are gone.");
    checkAllowed(policy, version.owner, plugins);
    const loaded = await Promise.all(plugins.map((attached) => load(env, version.owner, attached)));
    return await pushedHooks(version, loaded, {
      ...{ runner: pushedRunner(env), policy, onFault, behind: (work) => waitUntil(work) },
    });
  } catch (error) {
    if (!(error instanceof EdgeplaneError)) throw error;
    return refusingHooks(error);
  }
}

async function load(env: Env, owner: string, attached: AttachedPlugin): Promise<PushedPlugin> {
  const key = `${owner} ${attached.hash} ${attached.config ?? ""}`;
  const known = kept.get(key);
  if (known !== undefined) return { ...known, attached };
  const plugin = await loadPlugin(env.BLOBS, owner, attached);
  if (plugin === null)
    throw new EdgeplaneError("guard_unavailable", `The files of the plugin "${attached.name}" are gone.`);
  kept.set(key, plugin, KEPT_MS);
  return plugin;
}

/** The owner reads in the version's view what went wrong, and its text only where the prediction was its own. */
function noting(env: Env, version: ModelRef): OnFault {
  return ({ plugin, phase, accountId, reason }) => {
    const key = JSON.stringify(version);
    if (noted.get(key) === true) return;
    noted.set(key, true, NOTED_MS);
    const at = new Date().toISOString();
    const note = async (): Promise<void> => {
      const isOwn = (await findAccount(env.DB, version.owner))?.id === accountId;
      const why = isOwn ? reason : "it could not decide (why is told of its owner's predictions alone)";
      await notePluginProblem(env.DB, version, `${at} ${plugin}, ${phase}: ${why}`.slice(0, MAX_PROBLEM_CHARS));
    };
    waitUntil(note().catch((error: unknown) => log.warn("plugin_problem_not_noted", { reason: reasonOf(error) })));
  };
}
