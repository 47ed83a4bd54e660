/** Runs the hooks of one phase, in order, over one subject. */
import type { PhaseSubject, Phase, Verdict } from "../../plugins/kernel/phases.ts";
import type { BoundHook, Snapshot } from "../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { log, reasonOf } from "../telemetry/log.ts";

/** Whether any plugin has a hook for `phase`: callers skip the work of making a subject when none has. */
export function hasHooks(snapshot: Snapshot, phase: Phase): boolean {
  return snapshot.hooks[phase].length > 0;
}

/**
 * Runs `phase` and returns the subject that its last hook handed on. Throws `EdgeplaneError`: the code of the first
 * hook that rejects, or `guard_unavailable` when a hook that fails closed throws or runs out of time.
 */
export async function runPhase<P extends Phase>(
  snapshot: Snapshot,
  phase: P,
  subject: PhaseSubject[P],
): Promise<PhaseSubject[P]> {
  let current = subject;
  for (const hook of snapshot.hooks[phase]) {
    const verdict = await decide(phase, hook, current);
    if (verdict.verdict === "continue") {
      current = verdict.subject ?? current;
      continue;
    }
    if (verdict.verdict === "shadow") {
      log.info("plugin_shadow", { plugin: hook.plugin, phase, code: verdict.code });
      continue;
    }
    const retryAfterMs = verdict.retryAfterMs;
    throw new EdgeplaneError(verdict.code, verdict.message, retryAfterMs === undefined ? {} : { retryAfterMs });
  }
  return current;
}

async function decide<P extends Phase>(
  phase: P,
  hook: BoundHook<P>,
  subject: PhaseSubject[P],
): Promise<Verdict<PhaseSubject[P]>> {
  try {
    const verdict = hook.run(subject);
    return verdict instanceof Promise ? await withTimeout(verdict, hook.timeoutMs) : verdict;
  } catch (thrown) {
    log.error("plugin_failed", { plugin: hook.plugin, phase, failMode: hook.failMode, reason: reasonOf(thrown) });
    if (hook.failMode === "open") return { verdict: "continue" };
    throw new EdgeplaneError("guard_unavailable", `The plugin "${hook.plugin}" could not decide.`, { cause: thrown });
  }
}

async function withTimeout<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const timedOut = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
