/**
 * Deletes what has expired. Called by the Worker's schedule, every ten minutes. All sweeps of a run share one budget of
 * calls and of time: they take turns, so that a backlog of one kind holds up no other, and go on while there is
 * anything left to do.
 */
import type { Env } from "../env.ts";
import { sweepUploads } from "../storage/uploads.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { sweepBundles } from "./bundles.ts";
import { sweepChunks } from "./chunks.ts";
import { sweepRevoked } from "./credentials.ts";
import { sweepDeadLetters } from "./dead-letters.ts";
import { sweepEnvironmentLayers } from "./environment-layers.ts";
import { sweepFiles } from "./files.ts";
import { sweepReadmes } from "./readmes.ts";
import { sweepRecounts } from "./recounts.ts";

/** What a step did: how many calls of database, bucket and objects it made, and whether there is more to delete. */
export type SweepStep = { calls: number; more: boolean };
/** One step, of at most so many calls. */
export type Sweep = (env: Env, maxCalls: number) => Promise<SweepStep>;

/** The platform allows 1,000 calls a run: https://developers.cloudflare.com/workers/platform/limits/#subrequests */
const RUN_CALLS = 950;
const RUN_MS = 300_000;
/** What one step may use, so that the sweeps take turns. */
const STEP_CALLS = 60;
/** Kept for the sweeps that look through everything, which get one step each. */
const OTHERS_CALLS = 200;

const expiring: readonly Sweep[] = [
  sweepFiles,
  sweepUploads,
  sweepDeadLetters,
  sweepRevoked,
  sweepReadmes,
  sweepBundles,
  sweepEnvironmentLayers,
  sweepRecounts,
  sweepChunks,
];

/**
 * One run, with `others` behind it; what is left over, or fails, waits for the next. Answers how many calls it made.
 */
export async function sweepExpired(env: Env, others: readonly Sweep[] = [], maxCalls = RUN_CALLS): Promise<number> {
  const until = Date.now() + RUN_MS;
  const reserved = Math.min(OTHERS_CALLS, Math.floor(maxCalls / 4)) * Math.min(others.length, 1);
  let left = maxCalls - reserved;
  let active = expiring;
  while (active.length > 0) {
    const going: Sweep[] = [];
    for (const sweep of active) {
      if (left <= 0 || Date.now() > until) break;
      const { calls, more } = await step(sweep, env, Math.min(STEP_CALLS, left));
      left -= calls;
      if (more) going.push(sweep);
    }
    active = left <= 0 || Date.now() > until ? [] : going;
  }
  left += reserved;
  for (const sweep of others) left -= (await step(sweep, env, Math.min(OTHERS_CALLS, left))).calls;
  return maxCalls - left;
}

/** A step that fails is over for this run, and counted as if it had made all its calls. */
async function step(sweep: Sweep, env: Env, maxCalls: number): Promise<SweepStep> {
  if (maxCalls <= 0) return { calls: 0, more: false };
  try {
    return await sweep(env, maxCalls);
  } catch (thrown) {
    log.warn("sweep_failed", { sweep: sweep.name, reason: reasonOf(thrown) });
    return { calls: maxCalls, more: false };
  }
}
