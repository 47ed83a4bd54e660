/**
 * Whether a model can be set up on this host, and how soon it should be ready.
 *
 *   fine ── all its instances failed ──▶ broken ── pause over ──▶ trying (room for one) ── ready ──▶ fine
 *                                           ▲───────────── failed again ──────────────┘
 */
import type { Clock } from "../scheduling/clock.ts";
import { Pause } from "../scheduling/pause.ts";
import { restartDefaults } from "../scheduling/restart-policy.ts";
import type { SetupProblem } from "./instance.ts";

/** After this a set-up that failed may be tried again; a moment later than its instances allow it. */
const PAUSE_MS = restartDefaults.brokenMs + 50;

/** What the edge is told of a problem: the reason, and the end of the traceback. */
const MAX_PROBLEM_CHARS = 8000;
const MAX_REASON_CHARS = 2000;

export class Readiness {
  /** What the last set-up failed with; null once one went well. */
  problem: SetupProblem | null = null;
  /** The problem is the host's, which no process was started for. */
  #isHosts = false;
  readonly #pause: Pause;
  #readyMs: number | null = null;

  /** `onOver`: it may be tried again. */
  constructor(clock: Clock, onOver: () => void) {
    this.#pause = new Pause(clock, PAUSE_MS, onOver);
  }

  failed(problem: SetupProblem): void {
    this.problem = problem;
    this.#isHosts = false;
    this.#pause.begin();
  }

  /** Why this host can't run the model whatever its code does; null when it can. Whether that is news. */
  host(problem: string | null): boolean {
    if (problem === null) {
      if (!this.#isHosts) return false;
      this.problem = null;
      this.#isHosts = false;
      return true;
    }
    if (this.#isHosts && this.problem?.message === problem && this.#pause.isOn) return false;
    this.failed({ message: problem, traceback: "" });
    this.#isHosts = true;
    return true;
  }

  /** What failed is tried again before its time. */
  forgive(): void {
    if (!this.#isHosts) this.#pause.end();
  }

  /** An instance is ready, `tookMs` after its start. */
  ready(tookMs: number): void {
    this.problem = null;
    this.#isHosts = false;
    this.#readyMs = tookMs;
  }

  /** What the last start took; null before the first. */
  get loadMs(): number | null {
    return this.#readyMs;
  }

  /** Why it takes nothing now; null when it does. */
  get refusal(): string | null {
    return this.problem !== null && this.#pause.isOn ? textOf(this.problem) : null;
  }

  /** Whether the next prediction is a try. */
  get isTrying(): boolean {
    return this.problem !== null && !this.#pause.isOn;
  }

  /**
   * In how many milliseconds it should be ready that was started `startedAtMs`, or will be when it is needed (null);
   * null when nobody knows.
   */
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
