/** Tells the pools of a model's lanes that something changed which they may ask for. */
import type { Nudge } from "../contract/channel.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { lanesOf } from "../registry/models.ts";
import { poolsElsewhere } from "../registry/pools.ts";
import { log, reasonOf } from "../telemetry/log.ts";

/** `more`: a lane of the model that it may have no version on any longer. Never rejects: pools ask now and then. */
export async function nudgePools(
  env: Env,
  model: { owner: string; name: string },
  what: Nudge,
  more: string | null = null,
): Promise<void> {
  try {
    const lanes = [...new Set([...(await lanesOf(env.DB, model)), ...(more === null ? [] : [more])])];
    // A lane knows the pools that serve it. Others may begin to, with the first model on it.
    const others = what === "models" ? await poolsElsewhere(env.DB, model.owner, lanes) : [];
    await Promise.all([
      ...lanes.map((lane) => callObject(() => objectNamed(env.LANE, lane).nudge(lane, what))),
      ...others.map((session) => callObject(() => objectNamed(env.POOL, session).nudge(what))),
    ]);
  } catch (error) {
    log.warn("pools_not_told", { what, reason: reasonOf(error) });
  }
}
