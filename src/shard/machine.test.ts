/** Each transition by itself: what it makes of a row, and what must happen besides. */
import { describe, expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import * as machine from "./machine.ts";
import { newRow } from "./new-row.ts";
import type { Row } from "./row.ts";
import { defaultRules as rules } from "./rules.ts";
import type { Submission } from "./types.ts";

const CREATED = 1_000_000;
const NOW = CREATED + 5000;
const ASK = { session: "s", lanes: ["default"], startNow: true, token: "t" };
const CLAIM = { id: "p", token: "t" };
const HAND = [{ type: "hand" }];
const COMPLETED = { type: "webhook", event: "completed" };
const STOP = { type: "stop", session: "s", claim: CLAIM };

function rowOf(overrides: Partial<Row> = {}, submitted: Partial<Submission> = {}): Row {
  const limits = { startTimeoutMs: 60_000, totalTimeoutMs: 90_000 };
  return { ...newRow({ ...submission("p"), ...limits, ...submitted }, CREATED, rules), ...overrides };
}

/** Its second start, after one that ran. */
const AGAIN = { attempt: 2, attemptAt: NOW - 500 } as const;

/** Held by session `s` and running since its first start. */
const running = (overrides: Partial<Row> = {}, submitted: Partial<Submission> = {}): Row =>
  rowOf(
    {
      ...{ state: "running", session: "s", token: "t", attempt: 1, startedAt: NOW - 1000, attemptAt: NOW - 1000 },
      ...{ handAt: null, ...overrides },
    },
    submitted,
  );

describe("what its pool never began, as it could not have ended in time,", () => {
  const error = { code: "deadline_before_start", message: "a run takes 800 ms" };

  it("is aborted, whether a start was counted for it or not", () => {
    for (const row of [running(), rowOf({ state: "granted", session: "s", token: "t", attempt: 0 })]) {
      expect(machine.neverBegun(row, error, NOW)).toEqual([COMPLETED]);
      expect(row).toMatchObject({ state: "aborted", error, startedAt: null, completedAt: NOW });
      expect(row.metrics).not.toHaveProperty("predict_time");
    }
  });

  it("ran out of time where an earlier claim had begun it", () => {
    for (const row of [running(AGAIN), running({ chunks: 1 }), running({ state: "granted" })]) {
      machine.neverBegun(row, error, NOW);
      expect(row).toMatchObject({ state: "failed", error: { code: "timed_out", message: error.message } });
    }
  });
});

describe("a claim", () => {
  it("of another lane is out of scope, whatever the state, and changes nothing", () => {
    for (const row of [rowOf(), running(), rowOf({ state: "succeeded", completedAt: NOW })]) {
      const before = structuredClone(row);
      const answer = machine.claim(row, { ...ASK, lanes: ["other"] }, NOW, rules);
      expect([answer, row]).toEqual([{ verdict: "out_of_scope", effects: [] }, before]);
    }
  });

  it("of what ended or is held does nothing besides its answer", () => {
    const ended = rowOf({ state: "succeeded", completedAt: NOW });
    expect(machine.claim(ended, ASK, NOW, rules)).toEqual({ verdict: "terminal", effects: [] });
    expect(machine.claim(running(), ASK, NOW, rules)).toEqual({ verdict: "granted", effects: [] });
    const elsewhere = machine.claim(running(), { ...ASK, session: "another" }, NOW, rules);
    expect(elsewhere).toEqual({ verdict: "granted_elsewhere", effects: [] });
  });

  it("counts the first start and announces it, a later one silently, and none of a suspect", () => {
    const first = rowOf();
    const effects = [{ type: "webhook", event: "start" }];
    expect(machine.claim(first, ASK, NOW, rules)).toEqual({ verdict: "granted", effects });
    expect(first).toMatchObject({ state: "running", attempt: 1, startedAt: NOW, handAt: null, token: "t" });
    expect(first.checkAt).toBe(NOW + rules.firstCheckMs);
    const again = rowOf({ attempt: 1, startedAt: CREATED + 1, nextSeq: 7 });
    expect(machine.claim(again, ASK, NOW, rules)).toEqual({ verdict: "granted", effects: [] });
    expect(again).toMatchObject({ attempt: 2, startedAt: CREATED + 1, nextSeq: 0 });
    const lost = rowOf({ attempt: 1, startedAt: CREATED + 1, losses: 1 });
    expect(machine.claim(lost, ASK, NOW, rules)).toEqual({ verdict: "granted", effects: [] });
    expect(lost).toMatchObject({ state: "running", attempt: 2 });
    for (const suspect of [rowOf({ attempt: 2, losses: 2 }), rowOf({ attempt: 2, losses: 1, hasCrashed: true })]) {
      expect(machine.claim(suspect, ASK, NOW, rules)).toEqual({ verdict: "granted", effects: [] });
      expect(suspect).toMatchObject({ state: "granted", attempt: 2 });
    }
    const queued = rowOf();
    expect(machine.claim(queued, { ...ASK, startNow: false }, NOW, rules)).toEqual({ verdict: "granted", effects: [] });
    expect(queued).toMatchObject({ state: "granted", attempt: 0, startedAt: null });
  });

  it("that comes after a deadline ends it", () => {
    const row = rowOf();
    const effects = [{ type: "withdraw" }, COMPLETED];
    expect(machine.claim(row, ASK, row.startBy, rules)).toEqual({ verdict: "aborted", effects });
    expect(row).toMatchObject({ state: "aborted", token: null });
  });

  it("is made with the row where its lane reserved room", () => {
    const row = rowOf();
    const effects = machine.grantAtOnce(row, { session: "s", token: "t" }, NOW, rules);
    expect(effects).toEqual([{ type: "webhook", event: "start" }]);
    expect(row).toMatchObject({ state: "running", session: "s", token: "t", attempt: 1, startedAt: NOW });
  });

  it("sweeps what an earlier claim may have left in object storage, unless the next run goes on behind it", () => {
    const straysOf = (overrides: Partial<Row>, resumes = false): boolean => {
      const row = rowOf({ blobs: true, token: "earlier", ...overrides }, { resumesDeterministically: resumes });
      machine.claim(row, ASK, NOW, rules);
      return row.strays;
    };
    expect(straysOf({})).toBe(true);
    expect(straysOf({ token: null })).toBe(false);
    expect(straysOf({ blobs: false })).toBe(false);
    expect(straysOf({}, true)).toBe(false);
  });
});

describe("an end", () => {
  it("keeps what the run measured, and how long it took and all took", () => {
    const row = running();
    const result = { output: ["a"], outputBlob: "key", metrics: { tokens: 3 } };
    expect(machine.succeed(row, result, NOW)).toEqual([COMPLETED]);
    expect(row).toMatchObject({ state: "succeeded", output: ["a"], outputBlob: "key", error: null, completedAt: NOW });
    expect(row.metrics).toEqual({ tokens: 3, predict_time: 1, total_time: 5 });
    const measured = running({ metrics: { predict_time: 0.25 } });
    machine.succeed(measured, { ...result, metrics: {} }, NOW);
    expect(measured.metrics).toEqual({ predict_time: 0.25, total_time: 5 });
  });

  it("takes out of its lane what ends well while it waits", () => {
    const waits = rowOf({ attempt: 1, startedAt: NOW - 1000 });
    const effects = machine.succeed(waits, { output: 1, outputBlob: null, metrics: {} }, NOW);
    expect(effects).toEqual([{ type: "withdraw" }, COMPLETED]);
  });

  it("by its client stops the pool that holds it, twice, or takes it out of its lane", () => {
    const held = running();
    expect(machine.cancel(held, NOW)).toEqual([STOP, COMPLETED]);
    expect(held).toMatchObject({ state: "canceled", error: null, checkAt: NOW + 2000 });
    expect(machine.cancel(held, NOW + 1)).toEqual([]);
    expect(machine.stopAgain(held, NOW + 1999, rules)).toEqual([]);
    expect(machine.stopAgain(held, NOW + 2000, rules)).toEqual([STOP]);
    expect(machine.stopAgain(held, NOW + 9000, rules)).toEqual([]);
    expect(machine.cancel(running({ state: "granted", attempt: 0, startedAt: null }), NOW)).toEqual([STOP, COMPLETED]);
    // One that was handed back still names who had it.
    const waits = rowOf({ session: "s", token: "t" });
    expect(machine.cancel(waits, NOW)).toEqual([{ type: "withdraw" }, COMPLETED]);
    expect(waits).toMatchObject({ state: "canceled", checkAt: null, handAt: null, metrics: { total_time: 5 } });
    expect(waits.metrics).not.toHaveProperty("predict_time");
    expect(machine.stopAgain(waits, NOW + 9000, rules)).toEqual([]);
  });

  it("tells nobody to stop what goes on", () => {
    expect(machine.stopAgain(running({ checkAt: NOW - 1 }), NOW, rules)).toEqual([]);
  });
});

describe("a run that is handed back", () => {
  it("waits again in its place, as if nobody had had it", () => {
    const row = running({ hands: 4, checkAt: NOW + 1 });
    expect(machine.release(row, NOW, rules)).toEqual(HAND);
    expect(row).toMatchObject({
      state: "waiting",
      attempt: 1,
      losses: 0,
      hands: 0,
      checkAt: null,
      startedAt: NOW - 1000,
    });
    expect(row.handAt).toBe(NOW + rules.sweepMs);
  });

  it("unseen has its deadline to start again, unless it ran once", () => {
    const startOf = (overrides: Partial<Row>) => {
      const row = running(overrides);
      expect(machine.unseen(row, NOW, rules)).toEqual(HAND);
      return row.startedAt;
    };
    expect(startOf({})).toBeNull();
    expect(startOf(AGAIN)).toBe(NOW - 1000);
    expect(startOf({ chunks: 1 })).toBe(NOW - 1000);
  });

  it("by who can't run it has its deadline to start again, unless it ran once, and waits longer each time", () => {
    const startOf = (overrides: Partial<Row>) => {
      const row = running(overrides);
      machine.handBack(row, NOW, rules);
      return row.startedAt;
    };
    expect(startOf({})).toBeNull();
    expect(startOf({ attempt: 2 })).toBeNull();
    expect(startOf(AGAIN)).toBe(NOW - 1000);
    expect(startOf({ chunks: 1 })).toBe(NOW - 1000);
    expect(startOf({ state: "granted" })).toBe(NOW - 1000);
    const row = running();
    expect(machine.handBack(row, NOW, rules)).toEqual(HAND);
    expect(row.handAt).toBe(NOW + rules.sweepMs);
    const waits = Array.from({ length: 7 }, () => {
      expect(machine.handBack(row, NOW, rules)).toEqual([]);
      return (row.handAt ?? 0) - NOW;
    });
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });
});

describe("a loss", () => {
  it("is none where no start was counted", () => {
    const row = running({ state: "granted" });
    expect(machine.lose(row, NOW, rules)).toEqual(HAND);
    expect(row).toMatchObject({ state: "waiting", losses: 0 });
  });

  it("ends what readers saw the beginning of, unless another run repeats it", () => {
    const seen = { shown: true, chunks: 1 };
    const interrupted = running(seen);
    expect(machine.lose(interrupted, NOW, rules)).toEqual([COMPLETED]);
    expect(interrupted).toMatchObject({ state: "failed", losses: 1 });
    const message = "The run was lost after its output had begun to leave.";
    expect(interrupted.error).toEqual({ code: "interrupted", message });
    for (const row of [
      running({ ...seen, shown: false }),
      running({ ...seen, chunks: 0 }),
      running(seen, { resumesDeterministically: true }),
    ]) {
      expect(machine.lose(row, NOW, rules)).toEqual(HAND);
      expect(row).toMatchObject({ state: "waiting", losses: 1 });
    }
  });

  it("stays charged to its account where it was not the first", () => {
    const again = running({ losses: 1 });
    expect(machine.lose(again, NOW, rules)).toEqual([{ type: "hand", isPaid: true }]);
    expect(again).toMatchObject({ state: "waiting", losses: 2 });
  });

  it("is the last when its attempts are spent, with the model's own error where it left one", () => {
    const spent = running({ losses: rules.maxLosses - 1 });
    expect(machine.lose(spent, NOW, rules)).toEqual([COMPLETED]);
    expect(spent.error).toMatchObject({
      code: "attempts_exhausted",
      message: "All 3 attempts were lost without a result.",
    });
    const cause = { code: "model_crashed", message: "it died" } as const;
    const crashed = running({ losses: rules.maxLosses - 1 });
    machine.lose(crashed, NOW, rules, cause);
    expect(crashed).toMatchObject({ state: "failed", error: cause });
  });
});

describe("a deadline", () => {
  it("to start holds until something started, and is met to the millisecond", () => {
    const row = rowOf();
    expect(machine.expire(row, row.startBy - 1)).toBeNull();
    expect(machine.expire(row, row.startBy)).toEqual([{ type: "withdraw" }, COMPLETED]);
    const error = { code: "deadline_before_start", message: "No pool started it before its deadline." };
    expect(row).toMatchObject({ state: "aborted", error });
    expect(machine.expire(row, row.endBy)).toBeNull();
    const short = rowOf({}, { startTimeoutMs: 90_000, totalTimeoutMs: 10_000 });
    machine.expire(short, CREATED + 10_000);
    expect(short.state).toBe("aborted");
    const late = running();
    expect(machine.expire(late, late.startBy)).toBeNull();
  });

  it("in all ends a run as failed, or as canceled where its client asked for that", () => {
    const row = running();
    expect(machine.expire(row, row.endBy - 1)).toBeNull();
    expect(machine.expire(row, row.endBy)).toEqual([STOP, COMPLETED]);
    const error = { code: "timed_out", message: "It did not end within 90 s of its creation." };
    expect(row).toMatchObject({ state: "failed", error });
    const asked = running({}, { cancelAfterMs: 20_000 });
    expect(machine.expire(asked, CREATED + 20_000)).toEqual([STOP, COMPLETED]);
    expect(asked).toMatchObject({ state: "canceled", error: null });
  });
});

describe("what is due next", () => {
  it("of an unfinished one is the earliest of its times", () => {
    expect(machine.dueAt(rowOf(), rules)).toBe(CREATED + rules.sweepMs);
    expect(machine.dueAt(rowOf({ handAt: null }), rules)).toBe(CREATED + 60_000);
    expect(machine.dueAt(running(), rules)).toBe(CREATED + 90_000);
    expect(machine.dueAt(running({ checkAt: NOW + 1 }), rules)).toBe(NOW + 1);
  });

  it("of a finished one is the end of its retention, and of its key's memory", () => {
    const ended = (overrides: Partial<Row> = {}, submitted: Partial<Submission> = {}) =>
      machine.dueAt(rowOf({ state: "succeeded", completedAt: NOW, ...overrides }, submitted), rules);
    expect(ended()).toBe(NOW + rules.retentionMs);
    expect(ended({}, { retentionMs: 1000 })).toBe(NOW + 1000);
    expect(ended({ retired: true })).toBe(NOW + rules.retentionMs + rules.keyMemoryMs);
    expect(ended({ strays: true })).toBe(NOW);
    expect(ended({ checkAt: NOW + 2000 })).toBe(NOW + 2000);
    const reservations = [{ plugin: "p", service: "allowance" as const, id: "r", data: null }];
    expect(ended({ reservations, handAt: NOW + 2000 })).toBe(NOW + 2000);
    expect(ended({ completedAt: null })).toBeNull();
  });

  it("is later each time that it is handed on in vain, up to an hour", () => {
    expect([0, 1, 2, 6, 7, 99].map((hands) => machine.sweepDelayMs(hands, rules) / 1000)).toEqual([
      30, 60, 120, 1920, 3600, 3600,
    ]);
  });
});
