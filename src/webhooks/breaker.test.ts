import { describe, expect, it } from "vitest";
import {
  FAILURES_TO_OPEN,
  FIRST_OPEN_MS,
  LONGEST_OPEN_MS,
  admission,
  afterFailure,
  afterSuccess,
  closedBreaker,
} from "./breaker.ts";
import type { Breaker } from "./breaker.ts";

function fail(breaker: Breaker, times: number, now: number): Breaker {
  return times === 0 ? breaker : fail(afterFailure(breaker, now), times - 1, now);
}

describe("the breaker", () => {
  it("opens at the tenth failure in a row", () => {
    expect(admission(fail(closedBreaker, FAILURES_TO_OPEN - 1, 0), 0)).toBe("go");
    expect(admission(fail(closedBreaker, FAILURES_TO_OPEN, 0), 0)).toBe("wait");
    const interrupted = afterSuccess(fail(closedBreaker, FAILURES_TO_OPEN - 1, 0));
    expect(admission(fail(interrupted, FAILURES_TO_OPEN - 1, 0), 0)).toBe("go");
  });

  it("lets a probe go when its time has passed, and closes when that succeeds", () => {
    const open = fail(closedBreaker, FAILURES_TO_OPEN, 0);
    expect(admission(open, FIRST_OPEN_MS - 1)).toBe("wait");
    expect(admission(open, FIRST_OPEN_MS)).toBe("probe");
    expect(afterSuccess(open)).toEqual(closedBreaker);
  });

  it("stays open twice as long after each failed probe, up to five minutes", () => {
    let breaker = fail(closedBreaker, FAILURES_TO_OPEN, 0);
    const durations: number[] = [];
    for (let probe = 0; probe < 9; probe += 1) {
      const now = breaker.openUntil;
      breaker = afterFailure(breaker, now);
      durations.push(breaker.openUntil - now);
    }
    expect(durations).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000, LONGEST_OPEN_MS]);
  });

  it("is not kept open by failures of requests that left before it opened", () => {
    const open = fail(closedBreaker, FAILURES_TO_OPEN, 0);
    expect(fail(open, 4, 100)).toMatchObject({ openings: 1, openUntil: FIRST_OPEN_MS });
  });
});
