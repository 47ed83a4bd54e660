import { describe, expect, test } from "vitest";
import { judgeAll, mustGoOn } from "./judgement.ts";
import type { Stretch } from "./judgement.ts";
import { reportOf } from "./report.ts";

const MIB = 2 ** 20;
/** As CI has them: 10 samples a stretch, and twice the limits. */
const SAMPLES = 10;
const SLACK = 2;

type Shape = { rssMib?: number; handles?: number; p99Ms?: number; diskMib?: number; pid?: number; quietP99Ms?: number };

/** A stretch of the soak; `shape` gets how far it is, from 0 to 1. */
function stretch(shape: (share: number) => Shape): Stretch {
  const samples = Array.from({ length: SAMPLES }, (_, index) => {
    const { rssMib = 100, handles = 40, p99Ms = 50, diskMib = 30, pid = 1 } = shape(index / (SAMPLES - 1));
    const held = new Map([["pool", { pid, rssBytes: rssMib * MIB, handles }]]);
    return {
      held,
      uncollected: held,
      disk: new Map([["predictions", diskMib * MIB]]),
      perSecond: 70,
      p50Ms: 10,
      p99Ms,
    };
  });
  const waits = { count: 1000, p50Ms: 10 };
  const accounts: Stretch["accounts"] = [
    { of: "local", ...waits, p99Ms: 60 },
    { of: "quiet-1", ...waits, p99Ms: shape(1).quietP99Ms ?? 60 },
  ];
  return { samples, kinds: [], accounts };
}

const flat = stretch(() => ({}));

describe("a soak whose first stretch did not drift", () => {
  test("is over, and good", () => {
    expect(mustGoOn([flat], SLACK, 0)).toBe(false);
    expect(judgeAll([flat], SLACK)).toMatchObject({ wrong: [], notes: [] });
  });

  test("tells what lies between the limit and its slack, and is not judged again", () => {
    const little = stretch((share) => ({ rssMib: 100 + 6 * share }));
    expect(mustGoOn([little], SLACK, 0)).toBe(false);
    expect(judgeAll([little], SLACK)).toMatchObject({ wrong: [], notes: [expect.stringMatching(/^aim unmet: RSS/)] });
  });
});

describe("a leak drifts in both stretches, and fails", () => {
  const leaks: Record<string, (grown: number) => Shape> = {
    // Little above what a stretch may have; by what they hold in the second, its own limits would let them pass.
    "RSS of pool": (grown) => ({ rssMib: 100 + 9 * grown }),
    "handles of pool": (grown) => ({ handles: Math.round(40 + 22 * grown) }),
    "disk of predictions": (grown) => ({ diskMib: 30 + 14 * grown }),
  };
  for (const [of, leak] of Object.entries(leaks)) {
    test(of, () => {
      const both = [stretch((share) => leak(share)), stretch((share) => leak(1 + share))];
      expect(mustGoOn(both.slice(0, 1), SLACK, 0)).toBe(true);
      const { wrong, trends } = judgeAll(both, SLACK);
      expect(wrong).toEqual([expect.stringContaining(`${of} grew`), expect.stringContaining(`${of} grew`)]);
      expect(trends).toHaveLength(2);
    });
  }

  test("p99 that rises as much again", () => {
    const both = [
      stretch((share) => ({ p99Ms: 50 + 200 * share })),
      stretch((share) => ({ p99Ms: 250 + 900 * share })),
    ];
    expect(judgeAll(both, SLACK).wrong).toEqual([
      expect.stringMatching(/^p99 rose/),
      expect.stringMatching(/^p99 rose/),
    ]);
  });

  test("an account that waited for the greedy one both times", () => {
    const hungry = stretch(() => ({ quietP99Ms: 200 }));
    expect(mustGoOn([hungry], SLACK, 0)).toBe(true);
    expect(judgeAll([hungry, hungry], SLACK).wrong).toHaveLength(2);
    expect(judgeAll([hungry, flat], SLACK).wrong).toEqual([]);
  });
});

describe("a step", () => {
  const step = stretch((share) => (share > 0.5 ? { rssMib: 120, p99Ms: 400 } : {}));
  const after = stretch(() => ({ rssMib: 120, p99Ms: 400 }));

  test("passes once nothing drifts in as long again, and is told", () => {
    expect(mustGoOn([step], SLACK, 0)).toBe(true);
    expect(mustGoOn([step, after], SLACK, 0)).toBe(false);
    const { wrong, notes } = judgeAll([step, after], SLACK);
    expect(wrong).toEqual([]);
    expect(notes).toEqual([
      expect.stringMatching(/^a step, and not both times: RSS of pool grew from 100\.0 to 120\.0 MiB/),
      expect.stringMatching(/^a step, and not both times: p99 rose from 50\.0 to 400\.0 ms/),
    ]);
  });

  test("passes beside the step of something else in the second stretch", () => {
    const other = stretch((share) => ({ rssMib: 120, p99Ms: 400, diskMib: share > 0.5 ? 60 : 30 }));
    expect(judgeAll([step, other], SLACK)).toMatchObject({
      wrong: [],
      notes: [expect.any(String), expect.any(String), expect.any(String)],
    });
  });

  test("of the same thing in both stretches fails: nothing tells two from a leak", () => {
    const again = stretch((share) => ({ rssMib: share > 0.5 ? 140 : 120 }));
    expect(judgeAll([step, again], SLACK).wrong).toHaveLength(2);
  });

  test("fails where nothing was judged after it", () => {
    expect(judgeAll([step], SLACK).wrong).toHaveLength(2);
  });
});

describe("what no second look excuses", () => {
  test("an operation that failed", () => {
    const step = stretch((share) => (share > 0.5 ? { rssMib: 120 } : {}));
    expect(mustGoOn([step], SLACK, 1)).toBe(false);
  });

  test("a process that was started again, also between the stretches", () => {
    const again = stretch((share) => (share > 0.5 ? { pid: 2, p99Ms: 400 } : {}));
    expect(mustGoOn([again], SLACK, 0)).toBe(false);
    expect(judgeAll([again, flat], SLACK).wrong).toEqual(["pool ended, or was started again"]);
    const other = stretch(() => ({ pid: 2 }));
    expect(judgeAll([flat, other], SLACK).wrong).toEqual(["pool ended, or was started again"]);
  });
});

test("the report shows both stretches, and why it is good or not", () => {
  const step = stretch((share) => (share > 0.5 ? { rssMib: 120 } : {}));
  const after = stretch(() => ({ rssMib: 120 }));
  const report = { capacity: 100, pace: 70, warmUpMs: 90_000, completed: 9000, putOff: 3, problems: [] };
  const good = reportOf({ ...report, stretches: [step, after], failed: 0 }, SLACK);
  expect(good.isGood).toBe(true);
  expect(good.text).toMatch(
    /after the warm-up[^]*RSS of pool, MiB \| 100\.0 \| 120\.0[^]*as long again[^]*RSS of pool, MiB \| 120\.0 \| 120\.0/,
  );
  expect(good.text).toContain("soak: a step, and not both times: RSS of pool grew");
  const bad = reportOf({ ...report, stretches: [step], failed: 1, problems: ["GET / answered 503"] }, SLACK);
  expect(bad.isGood).toBe(false);
  expect(bad.text).toMatch(/soak: RSS of pool grew[^]*soak: 1 operations failed\nsoak: GET \/ answered 503$/);
});
