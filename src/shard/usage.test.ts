/** What the shard takes of what pools report, through its core: each attempt once, and no more than the edge saw. */
import { describe, expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Grant } from "../contract/claim.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { AttemptUsage, UsageReport } from "../contract/usage.ts";
import type { Lease } from "../fleet/types.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Submission } from "./types.ts";

const SESSION = "session-a";
const LANES = ["default"];
const START = 1_000_000;
const GONE: Lease = { alive: false, remainingMs: 0 };

const usage: AttemptUsage = { device: "NVIDIA H200", queuedMs: 3, runMs: 400, gpuUs: 250_000 };
const ended = { type: "succeeded", output: 1 };

function setUp(overrides: Partial<Submission> = {}) {
  const clock = { now: START };
  let tokens = 0;
  const core = new ShardCore(memorySql(), {
    ...{ rules: defaultRules, now: () => clock.now, newToken: () => `token-${(tokens += 1)}` },
  });
  const id = newPredictionId(1);
  core.submit({ ...submission(id), ...overrides });
  const claim = (session = SESSION, startNow = true): Grant => {
    const [answer] = core.claim({ session, jobs: [{ id, startNow }] }, LANES);
    if (answer?.verdict !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
    return answer;
  };
  const send = ({ token }: Grant, ...events: ({ seq: number } & Record<string, unknown>)[]) =>
    core.deliver(
      events.map((event) => ({ id, token, ...event }) as PoolEvent),
      SESSION,
      LANES,
    ).verdicts[0]?.verdict;
  const report = ({ token }: Grant, changes: Partial<UsageReport> = {}, lanes = LANES) =>
    core.deliver([], SESSION, lanes, [{ id, token, attempt: 1, outcome: "bisected", usage, ...changes }]).usage;
  const judge = (lease: Lease) => core.judge(core.store.get(id)?.session ?? "", [id], lease);
  const row = () => core.store.get(id);
  const entries = () => row()?.usage ?? [];
  return { core, clock, id, claim, send, report, judge, row, entries };
}

describe("an end that its pool tells", () => {
  it("is taken with the change that it makes: once, however often it comes", () => {
    const { core, clock, claim, send, report, entries, row } = setUp();
    const grant = claim();
    clock.now += 500;
    send(grant, { seq: 0, ...ended, usage });
    const changed = vi.spyOn(core, "onChange");
    send(grant, { seq: 0, ...ended, usage });
    expect(report(grant)).toEqual([{ token: grant.token, attempt: 1, verdict: "ok" }]);
    expect(entries()).toEqual([{ ...usage, attempt: 1, outcome: "succeeded", at: START + 500 }]);
    expect(row()?.attemptAt).toBeUndefined();
    expect(changed).not.toHaveBeenCalled();
  });

  it.each([
    ["failed", { type: "failed", kind: "model", error: { code: "model_error", message: "no" } }],
    ["failed", { type: "failed", kind: "input", error: { code: "invalid_input", message: "no" } }],
    ["lost", { type: "failed", kind: "crash", error: { code: "model_crashed", message: "no" } }],
    ["lost", { type: "released", reason: "lost" }],
    ["stopped", { type: "released", reason: "drain" }],
    ["stopped", { type: "released", reason: "setup" }],
  ])("is %s", (outcome, event) => {
    const { claim, send, entries } = setUp();
    send(claim(), { seq: 0, ...event, usage });
    expect(entries()).toEqual([{ ...usage, attempt: 1, outcome, at: START }]);
  });

  it.each([
    { type: "failed", kind: "input", error: { code: "invalid_input", message: "no" } },
    { type: "failed", kind: "late", error: { code: "deadline_before_start", message: "no" } },
    { type: "released", reason: "unseen" },
    { type: "released", reason: "no_room" },
    { type: "released", reason: "cannot_run" },
    { type: "released", reason: "drain" },
  ])("took nothing where it never began: %j", (event) => {
    const { clock, claim, send, entries, row } = setUp();
    const grant = claim();
    clock.now += 500;
    send(grant, { seq: 0, ...event });
    expect([entries(), row()?.attemptAt]).toEqual([[], undefined]);
  });

  it.each([
    [{ type: "released", reason: "drain" }, "stopped"],
    [{ type: "released", reason: "setup" }, "stopped"],
    [{ type: "released", reason: "no_room" }, "stopped"],
    [{ type: "released", reason: "unseen" }, "stopped"],
    [{ type: "released", reason: "cannot_run" }, "stopped"],
    [{ type: "failed", kind: "late", error: { code: "deadline_before_start", message: "no" } }, "stopped"],
    [{ type: "failed", kind: "input", error: { code: "invalid_input", message: "no" } }, "failed"],
  ])("is estimated where a run that said something is over, and nobody says what it took: %j", (event, outcome) => {
    for (const word of [
      { type: "log", text: "." },
      { type: "metric", metrics: {} },
      { type: "output", chunk: 1 },
    ]) {
      const { clock, claim, send, report, entries } = setUp();
      const grant = claim();
      send(grant, { seq: 0, ...word });
      clock.now += 500;
      send(grant, { seq: 1, ...event });
      const estimate = { outcome, device: "unknown", queuedMs: 0, runMs: 500, gpuUs: 500_000 };
      expect(entries()).toEqual([{ ...estimate, attempt: 1, at: START + 500, flags: ["estimated"] }]);
      for (let times = 0; times < 2; times += 1) report(grant, { outcome: "stopped" });
      expect(entries().slice(1)).toMatchObject([{ ...usage, outcome, replaces: estimate }]);
      expect(entries()).toHaveLength(2);
    }
  });

  it("takes words of the attempt before for none of the next", () => {
    const { clock, claim, send, report, entries } = setUp();
    const grant = claim();
    send(grant, { seq: 0, type: "log", text: "." });
    report(grant);
    send(grant, { seq: 1, type: "log", text: "." }, { seq: 2, type: "starting" });
    clock.now += 500;
    send(grant, { seq: 3, type: "released", reason: "drain" });
    expect(entries()).toMatchObject([{ ...usage, attempt: 1, outcome: "bisected" }]);
    send(claim("session-b"), { seq: 0, type: "released", reason: "drain" });
    expect(entries()).toHaveLength(1);
  });

  it("is estimated where a pool knows no usage", () => {
    const { clock, claim, send, entries } = setUp();
    const grant = claim();
    clock.now += 500;
    send(grant, { seq: 0, ...ended });
    const estimate = { device: "unknown", queuedMs: 0, runMs: 500, gpuUs: 500_000, flags: ["estimated"] };
    expect(entries()).toEqual([{ ...estimate, attempt: 1, outcome: "succeeded", at: START + 500 }]);
  });

  it("is believed as far as the edge saw it, and a second: for each device that it ran on", () => {
    const lie = { ...usage, queuedMs: 1e9, runMs: 1e9, gpuUs: 1e15 };
    for (const devices of [1, 3]) {
      const { clock, claim, send, entries } = setUp();
      clock.now += 100;
      const grant = claim();
      clock.now += 500;
      send(grant, { seq: 0, ...ended, usage: { ...lie, devices } });
      const most = { queuedMs: 1600, runMs: 1500, gpuUs: 1_500_000 * devices };
      expect(entries()).toMatchObject([{ ...most, flags: ["capped"] }]);
    }
  });
});

describe("a run that outlives its prediction", () => {
  it("is told of by its claim's last event", () => {
    const { core, clock, id, claim, send, entries, judge } = setUp();
    const grant = claim();
    core.cancel(id, "account");
    expect(entries()).toEqual([]);
    clock.now += 700;
    send(grant, { seq: 0, type: "failed", kind: "model", error: { code: "canceled", message: "" }, usage });
    judge(GONE);
    expect(entries()).toEqual([{ ...usage, attempt: 1, outcome: "canceled", at: START + 700 }]);
  });

  it("took nothing where its pool says that it ended, and not what it took", () => {
    const { core, id, claim, send, row } = setUp();
    const grant = claim();
    core.cancel(id, "account");
    send(grant, { seq: 0, type: "failed", kind: "model", error: { code: "canceled", message: "" } });
    expect(row()).toMatchObject({ state: "canceled" });
    expect([row()?.usage, row()?.attemptAt]).toEqual([undefined, undefined]);
  });

  it("is estimated until its prediction's end where it said something, before or since", () => {
    for (const isBefore of [true, false]) {
      const { core, clock, id, claim, send, entries } = setUp();
      const grant = claim();
      if (isBefore) send(grant, { seq: 0, type: "log", text: "." });
      clock.now += 300;
      core.cancel(id, "account");
      clock.now += 200;
      if (!isBefore) send(grant, { seq: 0, type: "log", text: "." });
      send(grant, { seq: 1, type: "failed", kind: "model", error: { code: "canceled", message: "" } });
      expect(entries()).toMatchObject([{ outcome: "canceled", runMs: 300, flags: ["estimated"] }]);
    }
  });

  it("is told of by a report where its claim was refused all else", () => {
    const { claim, send, report, entries, row } = setUp();
    const grant = claim();
    // A plugin refused a chunk: the run goes on until the pool hears of it.
    send(grant, { seq: 0, type: "failed", kind: "model", error: { code: "rejected_by_policy", message: "no" } });
    expect(entries()).toEqual([]);
    expect(row()?.wakeAt).toBe(START + 2000);
    report(grant, { outcome: "stopped" });
    report(grant, { outcome: "stopped" });
    expect(entries()).toEqual([{ ...usage, attempt: 1, outcome: "failed", at: START }]);
  });

  it("is asked for until its pool is gone, and estimated up to its prediction's end then", () => {
    const { core, clock, id, claim, judge, entries, report, row } = setUp();
    const grant = claim();
    clock.now += 300;
    core.cancel(id, "account");
    clock.now += 2000;
    expect(core.wake().checks.size).toBe(0);
    core.outgoing.stops.clear();
    clock.now += defaultRules.leaseMs;
    expect(core.wake().checks).toEqual(new Map([[SESSION, [id]]]));
    expect(core.outgoing.stops.get(SESSION)).toEqual([{ id, token: grant.token }]);
    judge({ alive: true, remainingMs: 10_000 });
    expect(entries()).toEqual([]);
    judge({ ...GONE, device: "NVIDIA L4" });
    const estimate = { outcome: "canceled", device: "NVIDIA L4", queuedMs: 0, runMs: 300, gpuUs: 300_000 } as const;
    expect(entries()).toEqual([{ ...estimate, attempt: 1, at: START + 300, flags: ["estimated"] }]);
    expect(row()?.checkAt).toBeNull();
    report(grant, { outcome: "stopped" });
    report(grant, { outcome: "stopped" });
    expect(entries().slice(1)).toMatchObject([
      { ...usage, outcome: "canceled", flags: ["correction"], replaces: estimate },
    ]);
  });

  it("keeps its row until it is known, however short the retention of its data", () => {
    const { core, clock, id, claim, send, entries } = setUp({ retentionMs: 1000 });
    const grant = claim();
    core.cancel(id, "account");
    core.outgoing.stops.clear();
    clock.now += 2000;
    expect(core.wake().expired).toEqual([]);
    expect(core.outgoing.stops.get(SESSION)).toEqual([{ id, token: grant.token }]);
    send(grant, { seq: 0, type: "failed", kind: "model", error: { code: "canceled", message: "" }, usage });
    expect(entries()).toMatchObject([{ ...usage, outcome: "canceled" }]);
    clock.now += defaultRules.sweepMs;
    expect(core.wake().expired).toMatchObject([{ id }]);
  });

  it("is estimated before its row goes, where nobody could say whether its pool lives", () => {
    const { core, clock, id, claim, entries } = setUp({ retentionMs: 1000 });
    claim();
    clock.now += 300;
    core.cancel(id, "account");
    clock.now += 8 * defaultRules.leaseMs;
    core.wake();
    expect(entries()).toMatchObject([{ runMs: 300, outcome: "canceled", flags: ["estimated"] }]);
  });

  it("is estimated after four leases where its pool lives and says nothing", () => {
    const { core, clock, id, claim, judge, entries } = setUp();
    claim();
    core.cancel(id, "account");
    clock.now += 4 * defaultRules.leaseMs;
    judge({ alive: true, remainingMs: 10_000 });
    expect(entries()).toMatchObject([{ attempt: 1, outcome: "canceled", flags: ["estimated"] }]);
  });
});

describe("a start that its claim begins again", () => {
  it("is told of by a report, before or behind the next one's start", () => {
    for (const isFirst of [true, false]) {
      const { claim, send, report, entries } = setUp();
      const grant = claim();
      if (isFirst) report(grant);
      send(grant, { seq: 0, type: "starting" });
      if (!isFirst) report(grant);
      report(grant);
      send(grant, { seq: 1, ...ended, usage: { ...usage, runMs: 1 } });
      expect(entries()).toMatchObject([
        { ...usage, attempt: 1, outcome: "bisected" },
        { runMs: 1, attempt: 2, outcome: "succeeded" },
      ]);
    }
  });
});

it("is estimated where it said something and its claim begins again without a word of it, and corrected once", () => {
  const { clock, claim, send, report, entries } = setUp();
  const grant = claim();
  send(grant, { seq: 0, type: "log", text: "." });
  clock.now += 500;
  send(grant, { seq: 1, type: "starting" });
  const estimate = { outcome: "lost", device: "unknown", queuedMs: 0, runMs: 500, gpuUs: 500_000 };
  expect(entries()).toEqual([{ ...estimate, attempt: 1, at: START + 500, flags: ["estimated"] }]);
  for (let times = 0; times < 2; times += 1) report(grant);
  send(grant, { seq: 2, ...ended, usage: { ...usage, runMs: 1 } });
  expect(entries().slice(1)).toMatchObject([
    { ...usage, attempt: 1, outcome: "bisected", flags: ["correction"], replaces: estimate },
    { attempt: 2, outcome: "succeeded", runMs: 1 },
  ]);
});

it("fills no row where a pool begins its claim again and again", () => {
  const { claim, send, report, entries, row } = setUp();
  const grant = claim();
  for (let n = 0; n < 300; n += 1) {
    send(grant, { seq: 2 * n, type: "log", text: "." }, { seq: 2 * n + 1, type: "starting" });
    report(grant, { attempt: n + 2 });
  }
  send(grant, { seq: 600, ...ended, usage });
  expect(row()?.attempt).toBe(301);
  expect(row()?.earlier).toHaveLength(100);
  expect(entries()).toHaveLength(101);
  expect(entries().at(-1)).toMatchObject({ ...usage, attempt: 301, outcome: "succeeded" });
});

describe("what its pool's lease was lost with", () => {
  it("is estimated up to then, and corrected once by the pool that comes back", () => {
    const { clock, claim, send, report, judge, entries } = setUp();
    const first = claim();
    clock.now += 15_000;
    judge({ ...GONE, device: "NVIDIA L4" });
    const estimate = { outcome: "lost", device: "NVIDIA L4", queuedMs: 0, runMs: 15_000, gpuUs: 15_000_000 } as const;
    expect(entries()).toEqual([{ ...estimate, attempt: 1, at: START + 15_000, flags: ["estimated"] }]);
    const second = claim("session-b", false);
    send(second, { seq: 0, type: "starting" });
    report(second, { attempt: 1 });
    expect(entries()).toHaveLength(1);
    for (let times = 0; times < 2; times += 1) {
      report(first, { outcome: "superseded" });
      expect(send(first, { seq: 0, ...ended, usage })).toBe("stale");
    }
    expect(entries().slice(1)).toMatchObject([
      { ...usage, attempt: 1, outcome: "superseded", flags: ["superseded", "correction"], replaces: estimate },
    ]);
    send(second, { seq: 1, ...ended, usage });
    expect(entries()).toHaveLength(3);
  });

  it("counts by the end of a claim that is stale, too", () => {
    const { clock, claim, send, judge, entries } = setUp();
    const first = claim();
    clock.now += 15_000;
    judge(GONE);
    claim("session-b", false);
    expect(send(first, { seq: 0, ...ended, usage })).toBe("stale");
    expect(entries()[1]).toMatchObject({ ...usage, outcome: "superseded" });
  });

  it("goes on where the latest claim reports again, and is corrected at its end", () => {
    const { clock, claim, send, judge, entries, row } = setUp();
    const grant = claim();
    clock.now += 15_000;
    judge(GONE);
    send(grant, { seq: 0, type: "log", text: "still here" });
    expect(row()?.attemptAt).toBe(START);
    clock.now += 5000;
    send(grant, { seq: 1, ...ended, usage: { ...usage, runMs: 19_000 } });
    expect(entries().slice(1)).toMatchObject([
      { attempt: 1, runMs: 19_000, outcome: "succeeded", flags: ["correction"], replaces: { runMs: 15_000 } },
    ]);
  });
});

it("is estimated anew, for good, where a claim that was taken for lost ends and tells no usage", () => {
  const { clock, claim, send, report, judge, entries } = setUp();
  const grant = claim();
  clock.now += 15_000;
  judge(GONE);
  send(grant, { seq: 0, type: "log", text: "still here" });
  clock.now += 5000;
  send(grant, { seq: 1, ...ended });
  report(grant);
  expect(entries().slice(1)).toEqual([
    {
      ...{ attempt: 1, outcome: "succeeded", device: "unknown", queuedMs: 0, runMs: 20_000, gpuUs: 20_000_000 },
      ...{ at: START + 20_000, flags: ["estimated", "correction"] },
      replaces: { outcome: "lost", device: "unknown", queuedMs: 0, runMs: 15_000, gpuUs: 15_000_000 },
    },
  ]);
});

it("takes nothing twice of a claim that goes on after it was handed back", () => {
  const { claim, send, entries } = setUp();
  const grant = claim();
  send(grant, { seq: 0, type: "released", reason: "drain", usage });
  send(grant, { seq: 1, ...ended, usage });
  expect(entries()).toMatchObject([{ attempt: 1, outcome: "stopped" }]);
});

it("takes nothing of another's claim, of an attempt that was never counted, nor of another lane", () => {
  const { claim, report, entries } = setUp();
  const grant = claim();
  report({ ...grant, token: "another" });
  report(grant, { attempt: 2 });
  report(grant, { id: newPredictionId(1) });
  report(grant, {}, ["other"]);
  expect(entries()).toEqual([]);
  report(grant);
  expect(entries()).toHaveLength(1);
});

it("knows an answer that no run made", () => {
  const { entries } = setUp({ answer: { output: 1, yielded: false } });
  const nothing = { device: "none", queuedMs: 0, runMs: 0, gpuUs: 0 };
  expect(entries()).toEqual([{ ...nothing, attempt: 0, outcome: "succeeded", at: START }]);
});
