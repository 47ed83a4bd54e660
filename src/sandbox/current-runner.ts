/** How uploaded plugins run in this Worker: by the Worker Loader, in local workerds, or not at all. */
import { exports } from "cloudflare:workers";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import { GATE_ENTRYPOINT } from "./gate-props.ts";
import type { GateProps } from "./gate-props.ts";
import { createLoaderRunner, MAX_DISTINCT_PUSHED } from "./loader-runner.ts";
import { createLocalRunner } from "./local-runner.ts";
import type { PluginRunner } from "./runner.ts";

const made = new WeakMap<D1Database, PluginRunner>();

/** Throws `plugins_unavailable` where neither is bound. */
export function currentRunner(env: Env): PluginRunner {
  const there = made.get(env.DB);
  if (there !== undefined) return there;
  const runner = createRunner(env);
  made.set(env.DB, runner);
  return runner;
}

/**
 * The same for the plugins of pushed models, for one request: what they take, or hang in, keeps neither the operator's
 * nor another request's waiting.
 */
export function pushedRunner(env: Env): PluginRunner {
  if (env.PLUGIN_SUPERVISOR !== undefined || env.LOADER === undefined) return currentRunner(env);
  return createLoaderRunner(env.LOADER, gateWith, MAX_DISTINCT_PUSHED);
}

function createRunner(env: Env): PluginRunner {
  if (env.PLUGIN_SUPERVISOR !== undefined && env.PLUGIN_HOSTS !== undefined) {
    return createLocalRunner(env.PLUGIN_SUPERVISOR, env.PLUGIN_HOSTS);
  }
  if (env.LOADER !== undefined) return createLoaderRunner(env.LOADER, gateWith);
  throw new EdgeplaneError(
    "plugins_unavailable",
    "This deployment has no Worker Loader, so it runs no uploaded plugins: deploy it with `--env plugins`.",
  );
}

/** This Worker's own entrypoint, which holds a plugin's requests against what it was granted. */
function gateWith(props: GateProps): Fetcher {
  const { [GATE_ENTRYPOINT]: gate } = exports as unknown as { [GATE_ENTRYPOINT]: (options: object) => Fetcher };
  return gate({ props });
}
