/**
 * Tells the edge that a lane's log can't be read, so that its operator sees it: after 10 s, again each minute, and when
 * it can be read again. What can't be told now is told a minute later.
 */
import type { LogState } from "../src/contract/log-state.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { HttpClient } from "./transport/http-client.ts";

const PATIENCE_MS = 10_000;
const AGAIN_MS = 60_000;
const CALL_TIMEOUT_MS = 5000;
const MAX_PROBLEM_LENGTH = 500;

type Trouble = { sinceMs: number; toldMs: number | null };

export type LogProblems = {
  /** The outcome of a poll; null: it went well. */
  note(lane: string, problem: string | null): void;
  /** Why the log that the edge names can't be read at all; null: it can. Told at once. */
  noAccess(problem: string | null): void;
};

export function createLogProblems(options: {
  http: Pick<HttpClient, "request">;
  clock: Pick<Clock, "nowMs">;
  pool: string;
  lanes(): readonly string[];
}): LogProblems {
  const { http, clock, pool, lanes } = options;
  const troubles = new Map<string, Trouble>();
  let missing: string | null = null;

  function tell(state: Omit<LogState, "pool">): void {
    const problem = state.problem?.slice(0, MAX_PROBLEM_LENGTH) ?? null;
    const call = { method: "POST", path: "/pool/v1/log-state", timeoutMs: CALL_TIMEOUT_MS } as const;
    const headers = { "content-type": "application/json" };
    http.request({ ...call, headers, body: JSON.stringify({ pool, lane: state.lane, problem }) }).catch(() => {});
  }

  function note(lane: string, polled: string | null, patienceMs = PATIENCE_MS): void {
    const problem = polled ?? missing;
    const trouble = troubles.get(lane);
    const now = clock.nowMs();
    if (problem === null) {
      troubles.delete(lane);
      if (trouble?.toldMs !== undefined && trouble.toldMs !== null) tell({ lane, problem: null });
      return;
    }
    const known = trouble ?? { sinceMs: now, toldMs: null };
    troubles.set(lane, known);
    const isDue = known.toldMs === null ? now - known.sinceMs >= patienceMs : now - known.toldMs >= AGAIN_MS;
    if (!isDue) return;
    known.toldMs = now;
    tell({ lane, problem });
  }

  return {
    note: (lane, problem) => note(lane, problem),
    noAccess(problem) {
      if (problem === null && missing === null) return;
      missing = problem;
      for (const lane of lanes()) note(lane, null, 0);
    },
  };
}
