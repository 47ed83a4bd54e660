/** What each event of a claim makes of its prediction, in and out of order. */
import { describe, expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { applyEvents } from "./apply-events.ts";
import { newRow } from "./new-row.ts";
import type { Progress } from "./progress.ts";
import type { Row } from "./row.ts";
import { defaultRules as rules } from "./rules.ts";
import type { Submission } from "./types.ts";

const CREATED = 1_000_000;
const NOW = CREATED + 5000;
const HAND = { type: "hand" };
const COMPLETED = { type: "webhook", event: "completed" };
const error = { code: "model_error", message: "no" } as const;

/** A prediction that session `s` holds with token `t`; `running`, its first start counted. */
function setUp(overrides: Partial<Row> = {}, submitted: Partial<Submission> = {}) {
  const row: Row = {
    ...newRow({ ...submission("p"), ...submitted }, CREATED, rules),
    ...{ state: "running", session: "s", token: "t", attempt: 1, startedAt: NOW - 1000, handAt: null },
    ...overrides,
  };
  const progress: Progress = {
    row,
    ...{ frames: [], frameChars: 0, storedSeq: 0, storedAt: 0, chunks: [], chunkChars: 0, logs: "" },
  };
  let begun = 0;
  const apply = (...events: ({ seq: number; type: PoolEvent["type"] } & Record<string, unknown>)[]) =>
    applyEvents(
      progress,
      events.map((event) => ({ id: "p", token: "t", ...event }) as PoolEvent),
      "s2",
      { now: NOW, rules, beginAttempt: () => (begun += 1) },
    );
  return { row, progress, apply, begun: () => begun };
}

const nothing = { effects: [], frames: [], mustStore: false, started: false };

describe("the order of events", () => {
  it("drops what it saw, takes what comes next, and asks again at a gap", () => {
    const { row, apply } = setUp({ nextSeq: 1 });
    const log = (seq: number) => ({ seq, type: "log", text: `${seq}` }) as const;
    expect(apply(log(0))).toEqual({ verdict: "ok", ...nothing });
    const applied = apply(log(0), log(1), log(3), log(4));
    expect(applied).toMatchObject({ verdict: "resend", effects: [], mustStore: false });
    expect(applied.frames.map(({ data }) => data)).toEqual(["1"]);
    expect(row.nextSeq).toBe(2);
  });

  it("stops at the first that is refused", () => {
    const { row, apply } = setUp({ startedAt: null, state: "granted", attempt: 0 });
    const applied = apply({ seq: 0, type: "log", text: "a" }, { seq: 1, type: "starting" });
    expect(applied).toEqual({ verdict: "stale", ...nothing });
    expect(row.attempt).toBe(0);
  });

  it("answers a start that it saw as counted, and after the end as too late", () => {
    expect(setUp({ nextSeq: 1 }).apply({ seq: 0, type: "starting" })).toEqual({
      ...nothing,
      ...{ verdict: "ok", started: true },
    });
    const ended = setUp({ state: "succeeded", completedAt: NOW, nextSeq: 1 });
    expect(ended.apply({ seq: 0, type: "starting" })).toEqual({ verdict: "stale", ...nothing });
    expect(ended.apply({ seq: 0, type: "log", text: "a" })).toEqual({ verdict: "ok", ...nothing });
  });
});

describe("a start", () => {
  it("of what waited in its pool is counted, under the session that reports", () => {
    const { row, apply, begun } = setUp({ state: "granted", attempt: 0, startedAt: null });
    const started = { type: "webhook", event: "start" };
    expect(apply({ seq: 0, type: "starting" })).toEqual({
      ...nothing,
      ...{ verdict: "ok", effects: [started], mustStore: true, started: true },
    });
    expect(row).toMatchObject({ state: "running", attempt: 1, session: "s2", startedAt: NOW });
    expect([row.checkAt, begun()]).toEqual([NOW + rules.leaseMs, 0]);
  });

  it("again, or behind frames that are stored, begins an attempt", () => {
    const again = setUp();
    expect(again.apply({ seq: 0, type: "starting" }).effects).toEqual([]);
    expect([again.row.attempt, again.begun()]).toEqual([2, 1]);
    const behind = setUp({ state: "granted", lastFrame: 3 });
    behind.apply({ seq: 0, type: "starting" });
    expect(behind.begun()).toBe(1);
  });

  it("of what was taken back to its lane takes it out there", () => {
    const { apply } = setUp({ state: "waiting", losses: 1 });
    expect(apply({ seq: 0, type: "starting" }).effects).toEqual([{ type: "withdraw" }]);
  });

  it("after the deadline ends it instead", () => {
    const { row, apply } = setUp({ state: "granted", attempt: 0, startedAt: null, startBy: NOW });
    const applied = apply({ seq: 0, type: "starting" }, { seq: 1, type: "log", text: "a" });
    expect(applied).toMatchObject({ verdict: "aborted", mustStore: true, started: false });
    expect(applied.effects).toEqual([{ type: "stop", session: "s", claim: { id: "p", token: "t" } }, COMPLETED]);
    expect(row).toMatchObject({ state: "aborted", attempt: 0, nextSeq: 1 });
  });

  it("again, of what readers saw the beginning of, ends it, unless it is repeated", () => {
    const seen = { shown: true, chunks: 1 };
    const interrupted = setUp(seen);
    expect(interrupted.apply({ seq: 0, type: "starting" })).toMatchObject({
      ...{ verdict: "stale", effects: [COMPLETED], mustStore: true, started: false },
    });
    expect(interrupted.row.error?.code).toBe("interrupted");
    for (const { row, apply } of [
      setUp({ ...seen, shown: false }),
      setUp({ ...seen, chunks: 0 }),
      setUp({ ...seen, state: "granted" }),
      setUp(seen, { resumesDeterministically: true }),
    ]) {
      expect(apply({ seq: 0, type: "starting" })).toMatchObject({ verdict: "ok", started: true });
      expect(row.state).toBe("running");
    }
  });
});

describe("what a run says", () => {
  it("reaches readers as frames, but for chunks that an earlier attempt brought", () => {
    const { row, apply } = setUp({ skip: 1 });
    const { frames, effects, mustStore } = apply(
      { seq: 0, type: "output", chunk: "repeated" },
      { seq: 1, type: "output", chunk: "new" },
      { seq: 2, type: "log", text: "line" },
      { seq: 3, type: "metric", metrics: { tokens: 2 } },
    );
    expect(frames.map(({ type, data }) => [type, data])).toEqual([
      ["output", "new"],
      ["log", "line"],
      ["metric", { tokens: 2 }],
    ]);
    expect([row.skip, row.metrics, effects, mustStore]).toEqual([0, { tokens: 2 }, [], false]);
  });

  it("takes back what counted as lost", () => {
    const { row, apply } = setUp({ state: "waiting", losses: 1, handAt: NOW + 1, session: "old" });
    expect(apply({ seq: 0, type: "log", text: "alive" })).toMatchObject({
      ...{ verdict: "ok", effects: [{ type: "withdraw" }], mustStore: true },
    });
    expect(row).toMatchObject({ state: "running", session: "s2", handAt: null, checkAt: NOW + rules.leaseMs });
  });
});

describe("an end", () => {
  it("with success has the output, inline or by its key, and what was measured", () => {
    const inline = setUp();
    const succeeded = { seq: 0, type: "succeeded", output: { a: 1 }, metrics: { tokens: 3 } } as const;
    expect(inline.apply(succeeded)).toEqual({
      ...nothing,
      ...{ verdict: "ok", effects: [COMPLETED], mustStore: true },
    });
    expect(inline.row).toMatchObject({
      state: "succeeded",
      output: { a: 1 },
      outputBlob: null,
      metrics: { tokens: 3 },
    });
    const blob = setUp();
    blob.apply({ seq: 0, type: "succeeded", outputBlob: "key" });
    expect(blob.row).toMatchObject({ output: null, outputBlob: "key" });
  });

  it("by the model's own fault is final, a crash alone is a loss; both keep what was measured", () => {
    const model = setUp();
    model.apply({ seq: 0, type: "failed", kind: "model", error, metrics: { tokens: 1 } });
    expect(model.row).toMatchObject({ state: "failed", error, metrics: { tokens: 1 } });
    const crash = setUp();
    expect(crash.apply({ seq: 0, type: "failed", kind: "crash", error })).toMatchObject({ effects: [HAND] });
    expect(crash.row).toMatchObject({ state: "waiting", losses: 1, hasCrashed: true });
    const last = setUp({ losses: rules.maxLosses - 1 });
    last.apply({ seq: 0, type: "failed", kind: "crash", error });
    expect(last.row).toMatchObject({ state: "failed", error });
  });

  it("of an input that can't be run needs no start; of anything else it does", () => {
    const cold = { state: "granted", attempt: 0, startedAt: null } as const;
    const refused = setUp(cold);
    expect(refused.apply({ seq: 0, type: "failed", kind: "input", error })).toMatchObject({ verdict: "ok" });
    expect(refused.row.state).toBe("failed");
    const late = setUp(cold);
    late.apply({ seq: 0, type: "failed", kind: "late", error });
    expect(late.row).toMatchObject({ state: "aborted", error, startedAt: null });
    const early = setUp(cold);
    expect(early.apply({ seq: 0, type: "failed", kind: "model", error })).toEqual({ verdict: "stale", ...nothing });
    expect(early.row.state).toBe("granted");
  });
});

describe("a release", () => {
  it.each([
    ["setup", { losses: 0, handBacks: 0, startedAt: NOW - 1000 }],
    ["drain", { losses: 0, handBacks: 0, startedAt: NOW - 1000 }],
    ["lost", { losses: 1, handBacks: 0, startedAt: NOW - 1000 }],
    ["unseen", { losses: 0, handBacks: 0, startedAt: null }],
    ["no_room", { losses: 0, handBacks: 0, startedAt: null }],
    ["cannot_run", { losses: 0, handBacks: 1, startedAt: null }],
  ])("for the reason %s", (reason, expected) => {
    const { row, apply } = setUp({ attemptAt: NOW - 1000 });
    expect(apply({ seq: 0, type: "released", reason })).toMatchObject({
      ...{ verdict: "ok", effects: [HAND], mustStore: true },
    });
    expect(row).toMatchObject({ state: "waiting", session: "s2", ...expected });
  });
});

describe("what a run used that outlived its prediction", () => {
  const ended = { state: "canceled", completedAt: NOW, endSeq: 4 } as const;
  const metrics = { tokens: 3 };

  it("is added once, in its turn, and published again", () => {
    const { row, apply } = setUp(ended);
    expect(apply({ seq: 1, type: "metric", metrics })).toEqual({ verdict: "stale", ...nothing });
    expect(row).toMatchObject({ metrics: {}, endSeq: 4, nextSeq: 0 });
    expect(apply({ seq: 0, type: "succeeded", output: 1, metrics })).toEqual({
      ...nothing,
      ...{ verdict: "stale", mustStore: true },
    });
    expect(row).toMatchObject({ state: "canceled", output: null, metrics, endSeq: null, nextSeq: 1 });
    row.endSeq = 5;
    expect(apply({ seq: 0, type: "succeeded", metrics: { tokens: 9 } }).mustStore).toBe(false);
    expect(row).toMatchObject({ metrics, endSeq: 5 });
  });

  it("is only what the platform measured once the data is removed", () => {
    const { row, apply } = setUp({ ...ended, input: null });
    apply({ seq: 0, type: "succeeded", metrics: { predict_time: 2, words: "a secret" } });
    expect(row.metrics).toEqual({ predict_time: 2 });
  });

  it("changes nothing where there is none, or nobody ran it, or all is forgotten", () => {
    for (const [overrides, event] of [
      [{}, { type: "log", text: "a" }],
      [{}, { type: "succeeded", output: 1 }],
      [{}, { type: "succeeded", output: 1, metrics: {} }],
      [{ startedAt: null }, { type: "succeeded", metrics }],
      [{ retired: true }, { type: "succeeded", metrics }],
    ] as const) {
      const { row, apply } = setUp({ ...ended, ...overrides });
      expect(apply({ seq: 0, ...event })).toEqual({ verdict: "stale", ...nothing });
      expect(row).toMatchObject({ metrics: {}, endSeq: 4 });
    }
  });
});
