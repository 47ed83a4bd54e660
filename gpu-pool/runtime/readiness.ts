/**
 * Whether a model can be set up on this host, and how soon it should be ready. Told the time; pure.
 *
 *   fine ── all its instances failed ──▶ broken ── PAUSE_MS ──▶ trying (room for one) ── ready ──▶ fine
 *                                           ▲───────────── failed again ──────────────┘
 */
import { restartDefaults } from "../scheduling/restart-policy.ts";
import type { SetupProblem } from "./instance.ts";

const PAUSE_MS = restartDefaults.brokenMs;
/** What the edge is told of a problem: the reason, and the end of the traceback. */
const MAX_PROBLEM_CHARS = 8000;
const MAX_REASON_CHARS = 2000;

export class Readiness {
  /** What the last set-up failed with; null once one went well. */
  problem: SetupProblem | null = null;
  #failedAtMs = -Infinity;
  #readyMs: number | null = null;

  /** How long a try must wait after a failure. */
  get pauseMs(): number {
    return PAUSE_MS;
  }

  failed(problem: SetupProblem, nowMs: number): void {
    this.problem = problem;
    this.#failedAtMs = nowMs;
  }

  /** An instance is ready, `tookMs` after its start. */
  ready(tookMs: number): void {
    this.problem = null;
    this.#readyMs = tookMs;
  }

  /** Why it takes nothing now; null when it does. */
  refusal(nowMs: number): string | null {
    return this.problem === null || nowMs - this.#failedAtMs >= PAUSE_MS ? null : textOf(this.problem);
  }

  /** Whether the next prediction is a try. */
  isTrying(nowMs: number): boolean {
    return this.problem !== null && this.refusal(nowMs) === null;
  }

  /** In how many milliseconds it should be ready that was started `startedAtMs`, or will be when it is needed (null); null when nobody knows. */
  readyInMs(startedAtMs: number | null, nowMs: number): number | null {
    if (this.#readyMs === null) return null;
    // Never 0: that would say that it is ready.
    return Math.max(1, this.#readyMs - (startedAtMs === null ? 0 : nowMs - startedAtMs));
  }
}

export function textOf({ message, traceback }: SetupProblem): string {
  const reason = message.slice(0, MAX_REASON_CHARS);
  return traceback === "" ? reason : `${reason}\n${traceback.slice(reason.length + 1 - MAX_PROBLEM_CHARS)}`;
}
