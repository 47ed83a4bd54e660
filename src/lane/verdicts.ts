/**
 * Which versions can't be set up. One host's failure says little; three hosts', or that of all that serve the version,
 * says that the model is at fault. The verdict stands for a minute; then one prediction tries again, and until that is
 * decided the others wait. Pure; the clock is injected by argument.
 */
import type { PredictionError } from "../contract/prediction.ts";
import type { Session } from "./credit.ts";

const STANDS_MS = 60_000;
/** Hosts whose failures are enough, however many others serve the version. */
const ENOUGH_HOSTS = 3;
/** A trial that nobody decides ends after this. */
const TRIAL_MS = 600_000;
/** Verdicts that are remembered; the oldest goes. */
const MAX_VERDICTS = 1000;
/** Of the host's reason, the end is told. */
const REASON_CHARACTERS = 1000;

type Verdict = { error: PredictionError; until: number; trialUntil: number };

export type Verdicts = ReturnType<typeof createVerdicts>;

export function createVerdicts() {
  const verdicts = new Map<string, Verdict>();

  return {
    /**
     * Judges a version anew by what its sessions last stated. While not `allHeard`, as after a lane's start, only many
     * hosts' failures count.
     */
    judge(key: string, serving: readonly Session[], allHeard: boolean, now: number): void {
      let failed = 0;
      let heard = 0;
      let reason = "";
      let isReady = false;
      for (const session of serving) {
        const credit = session.credits.get(key);
        if (credit === undefined || session.isSuspended) continue;
        heard += 1;
        if (credit.problem === null) {
          isReady ||= credit.readyInMs === 0;
          continue;
        }
        // A host that offers room again is one that tries again.
        if (credit.room > 0) continue;
        failed += 1;
        reason = credit.problem;
      }
      const known = verdicts.get(key);
      if (failed > 0 && (failed >= ENOUGH_HOSTS || (allHeard && failed === heard))) {
        if (known !== undefined && now < known.until) return;
        const said = `The model could not be set up on any of ${failed} hosts that tried`;
        const message = `${said}; it is tried again a minute after that: ${reason.slice(-REASON_CHARACTERS)}`;
        verdicts.delete(key);
        verdicts.set(key, {
          error: { code: "setup_failed", message },
          until: now + STANDS_MS,
          trialUntil: now + STANDS_MS + TRIAL_MS,
        });
        if (verdicts.size > MAX_VERDICTS)
          for (const oldest of verdicts.keys()) if (verdicts.size > MAX_VERDICTS) verdicts.delete(oldest);
      } else if (known !== undefined && isReady) verdicts.delete(key);
    },

    /** Nobody sets the version up for a while: no machine is rented for it. */
    refuse(key: string, message: string, now: number): void {
      verdicts.delete(key);
      const until = now + STANDS_MS;
      verdicts.set(key, { error: { code: "setup_failed", message }, until, trialUntil: until });
    },

    /** Why the version can't run now; null: it may. */
    failure(key: string, now: number): PredictionError | null {
      const verdict = verdicts.get(key);
      return verdict !== undefined && now < verdict.until ? verdict.error : null;
    },

    /** Whether one prediction at a time may try. */
    isOnTrial(key: string, now: number): boolean {
      const verdict = verdicts.get(key);
      if (verdict === undefined || now < verdict.until) return false;
      if (now < verdict.trialUntil) return true;
      verdicts.delete(key);
      return false;
    },

    /** A run of the version ended: it can be set up. */
    ran(key: string): void {
      verdicts.delete(key);
    },

    /** When the next verdict ends; null: none stands. */
    nextEnd(now: number): number | null {
      let next: number | null = null;
      for (const { until } of verdicts.values()) if (until > now) next = Math.min(next ?? Infinity, until);
      return next;
    },

    /** Whether there is, or was, a verdict of the version. */
    knows: (key: string) => verdicts.has(key),

    size: () => verdicts.size,
  };
}
