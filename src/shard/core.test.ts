import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Grant } from "../contract/claim.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { Reservation } from "../lane/types.ts";
import { ShardCore } from "./core.ts";
import { publishedRecords } from "./published-records.ts";
import { replayableOf } from "./replay.ts";
import { defaultRules } from "./rules.ts";
import type { Submission } from "./types.ts";

const SESSION = "session-a";
const LANES = ["default"];

function setUp(overrides: Partial<Submission> = {}, reservation?: Reservation) {
  const clock = { now: 1_000_000 };
  let tokens = 0;
  const sql = memorySql();
  const open = () =>
    new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => `token-${(tokens += 1)}` });
  const core = open();
  /** The object after its death, with nothing but its rows. */
  const reopen = () => {
    const reborn = open();
    reborn.recovery.begin();
    while (reborn.recovery.more());
    return reborn;
  };
  const id = newPredictionId(1);
  core.submit({ ...submission(id), ...overrides }, reservation);
  const claim = (session = SESSION, startNow = true): Grant => {
    const [answer] = core.claim({ session, jobs: [{ id, startNow }] }, LANES);
    if (answer?.verdict !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
    return answer;
  };
  const send = (grant: Grant, ...events: ({ seq: number } & Record<string, unknown>)[]) =>
    core.deliver(
      events.map((event) => ({ id, token: grant.token, ...event }) as PoolEvent),
      SESSION,
      LANES,
    ).verdicts[0];
  /** The lease of whoever holds it runs out. */
  const loseLease = () => core.judge(core.store.get(id)?.session ?? "", [id], { alive: false, remainingMs: 0 });
  const state = () => core.store.get(id)?.state;
  return { core, reopen, clock, id, claim, send, loseLease, state };
}

it("counts a start in the claim that grants it, and repeats the grant to the same session only", () => {
  const { core, id, claim } = setUp();
  const grant = claim();
  expect(grant).toMatchObject({ startNow: true, attempt: 1, input: { text: "hello" } });
  expect(claim().token).toBe(grant.token);
  expect(core.store.get(id)?.attempt).toBe(1);
  const [other] = core.claim({ session: "session-b", jobs: [{ id, startNow: true }] }, LANES);
  expect(other).toEqual({ id, verdict: "refused", reason: "granted_elsewhere" });
});

it("grants a queued job without counting a start until `starting` is acknowledged", () => {
  const { core, id, claim, send, state } = setUp();
  const grant = claim(SESSION, false);
  expect(grant.startNow).toBe(false);
  expect(core.store.get(id)?.attempt).toBe(0);
  expect(send(grant, { seq: 0, type: "succeeded", output: "too early" })?.verdict).toBe("stale");
  expect(state()).toBe("granted");
});

it("lets the latest claim's token win, whatever arrives late", () => {
  const { claim, send, loseLease, state, core, id } = setUp();
  const first = claim();
  loseLease();
  expect(state()).toBe("waiting");
  const second = claim("session-b");
  expect(send(first, { seq: 0, type: "succeeded", output: "first" })?.verdict).toBe("stale");
  expect(send(second, { seq: 0, type: "succeeded", output: "second" })?.verdict).toBe("ok");
  expect(core.store.get(id)?.output).toBe("second");
  expect(core.outgoing.staleEvents()).toBe(1);
});

it("takes a late result with the latest token although its lease was judged lost", () => {
  const { claim, send, loseLease, state } = setUp();
  const grant = claim();
  loseLease();
  expect(send(grant, { seq: 0, type: "succeeded", output: "late" })?.verdict).toBe("ok");
  expect(state()).toBe("succeeded");
});

it("refuses a claim after the end, also to the session that ran it", () => {
  const { core, id, claim, send } = setUp();
  send(claim(), { seq: 0, type: "succeeded", output: 1 });
  const [answer] = core.claim({ session: SESSION, jobs: [{ id, startNow: true }] }, LANES);
  expect(answer).toEqual({ id, verdict: "refused", reason: "terminal" });
});

it("settles once what a run used that outlived its prediction, and leaves the end as it is", () => {
  const { core, id, claim, send } = setUp({ accountId: "acme" });
  const grant = claim();
  core.cancel(id, "acme");
  const late = { seq: 0, type: "succeeded", output: "too late", metrics: { predict_time: 2.5, output_token_count: 9 } };
  expect(send(grant, late)?.verdict).toBe("stale");
  const settled = { predict_time: 2.5, output_token_count: 9 };
  expect(core.store.get(id)).toMatchObject({ state: "canceled", output: null, metrics: settled });
  const again = { ...late, metrics: { predict_time: 7 } };
  expect(send(grant, again, { seq: 2, type: "metric", metrics: { predict_time: 8 } })?.verdict).toBe("stale");
  expect(core.store.get(id)?.metrics).toMatchObject(settled);
});

it("claims as at first after one loss, alone with an uncounted start after two, and fails after three", () => {
  const { core, id, claim, send, loseLease, state } = setUp();
  claim();
  loseLease();
  expect(claim()).toMatchObject({ alone: false, startNow: true, attempt: 2 });
  loseLease();
  const grant = claim();
  expect(grant).toMatchObject({ alone: true, startNow: false, attempt: 3 });
  expect(core.store.get(id)?.attempt).toBe(2);
  send(grant, { seq: 0, type: "starting" });
  expect(core.store.get(id)?.attempt).toBe(3);
  loseLease();
  expect(state()).toBe("failed");
  expect(core.store.get(id)?.error?.code).toBe("attempts_exhausted");
});

it("holds no deadline to start against what ran before, when it is granted again", () => {
  const { core, clock, id, claim, send, loseLease } = setUp({ startTimeoutMs: 5000, totalTimeoutMs: 60_000 });
  expect(claim(SESSION, false)).toMatchObject({ startInMs: 5000, endInMs: 60_000 });
  send(claim(), { seq: 0, type: "starting" });
  clock.now += 20_000;
  loseLease();
  expect(claim(SESSION, false)).toMatchObject({ startNow: false, startInMs: 40_000, endInMs: 40_000 });
  expect(core.store.get(id)?.state).toBe("granted");
});

it("asks soon after a claim whether the pool has it, and then once a lease", () => {
  const { core, clock, id, claim } = setUp();
  claim();
  const checked = () => core.wake().checks.get(SESSION) ?? [];
  clock.now += defaultRules.firstCheckMs - 1;
  expect(checked()).toEqual([]);
  clock.now += 1;
  expect(checked()).toEqual([id]);
  core.judge(SESSION, [id], { alive: true, remainingMs: defaultRules.leaseMs });
  clock.now += defaultRules.leaseMs - 1;
  expect(checked()).toEqual([]);
  clock.now += 1;
  expect(checked()).toEqual([id]);
});

it("gives a crash alone its attempts, and its own error in the end", () => {
  const { core, id, claim, send, state } = setUp();
  const error = { code: "model_crashed", message: "killed by signal 9" };
  send(claim(), { seq: 0, type: "failed", kind: "crash", error });
  for (let attempt = 2; attempt <= 3; attempt += 1) {
    const grant = claim();
    send(grant, { seq: 0, type: "starting" });
    send(grant, { seq: 1, type: "failed", kind: "crash", error });
  }
  expect(state()).toBe("failed");
  expect(core.store.get(id)?.error).toEqual(error);
});

it("hands a released job back free of charge", () => {
  const { core, id, claim, send, state } = setUp();
  for (let round = 0; round < 10; round += 1) {
    expect(send(claim(), { seq: 0, type: "released", reason: "drain" })?.verdict).toBe("ok");
    expect(state()).toBe("waiting");
  }
  expect(core.store.get(id)?.losses).toBe(0);
  expect(core.outgoing.hands.get("default")?.has(id)).toBe(true);
});

it("stores a prediction already granted where its lane reserved room, and counts the start", () => {
  const { core, id } = setUp({}, { outcome: "reserved", session: SESSION });
  expect(core.store.get(id)).toMatchObject({ state: "running", attempt: 1, session: SESSION, startedAt: 1_000_000 });
  expect(core.outgoing.hands.get("default")?.has(id)).toBeUndefined();
  const [grant] = core.outgoing.grants.get(SESSION) ?? [];
  expect(grant).toMatchObject({ id, startNow: true, attempt: 1, alone: false, input: { text: "hello" } });
});

it("fails at once what its lane knows that no pool can set up", () => {
  const error = { code: "setup_failed", message: "no weights" };
  const { core, id } = setUp({}, { outcome: "failed", error });
  expect(core.store.get(id)).toMatchObject({ state: "failed", attempt: 0, error });
});

it("takes back a grant that its pool never got: the start stays counted, and nothing is lost", () => {
  const { core, id, send } = setUp(
    { webhook: "https://example.com", webhookEvents: ["start"] },
    { outcome: "reserved", session: SESSION },
  );
  const [grant] = core.outgoing.grants.get(SESSION) ?? [];
  if (grant === undefined) throw new Error("no grant");
  expect([...core.granting.unanswered([grant])]).toEqual([[SESSION, [id]]]);
  expect(send(grant, { seq: 0, type: "released", reason: "unseen" })?.verdict).toBe("ok");
  expect(core.store.get(id)).toMatchObject({ state: "waiting", attempt: 1, startedAt: null, losses: 0 });
  expect(core.outgoing.hands.get("default")?.has(id)).toBe(true);
  core.granting.push("session-b", [id]);
  const [again] = core.outgoing.grants.get("session-b") ?? [];
  if (again === undefined) throw new Error("not granted again");
  expect(again).toMatchObject({ startNow: false, attempt: 2, alone: false });
  send(again, { seq: 0, type: "starting" });
  expect(core.store.get(id)).toMatchObject({ attempt: 2, startedAt: 1_000_000 });
  // It began for the client once.
  expect(core.store.webhooks(10, null)).toHaveLength(1);
});

it("takes back grants that did not leave, and no later ones", () => {
  const { core, id } = setUp({}, { outcome: "reserved", session: SESSION });
  const [first] = core.outgoing.grants.get(SESSION) ?? [];
  if (first === undefined) throw new Error("no grant");
  core.granting.undelivered([first]);
  expect(core.store.get(id)?.state).toBe("waiting");
  core.granting.push("session-b", [id]);
  core.granting.undelivered([first]);
  expect(core.store.get(id)).toMatchObject({ state: "granted", session: "session-b" });
});

it("fails an input that can't be run without a start", () => {
  const { core, id, claim, send } = setUp();
  const error = { code: "invalid_input", message: "no such file" };
  expect(send(claim(SESSION, false), { seq: 0, type: "failed", kind: "input", error })?.verdict).toBe("ok");
  expect(core.store.get(id)).toMatchObject({ state: "failed", attempt: 0, startedAt: null, error });
});

it("hands on what pools can't run more and more seldom", () => {
  const { core, clock, id, claim, send } = setUp();
  const isHandedOn = () => {
    core.wake();
    return core.outgoing.hands.get("default")?.has(id) ?? false;
  };
  const handBack = () => send(claim(), { seq: 0, type: "released", reason: "cannot_run" });
  handBack();
  expect(isHandedOn()).toBe(true);
  for (const delayMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    handBack();
    clock.now += delayMs - 1;
    expect(isHandedOn()).toBe(false);
    clock.now += 1;
    expect(isHandedOn()).toBe(true);
  }
});

it("aborts what no pool could run by its deadline to start", () => {
  const { core, clock, claim, send, state } = setUp({ startTimeoutMs: 5000 });
  send(claim(), { seq: 0, type: "released", reason: "cannot_run" });
  clock.now += 5000;
  core.wake();
  expect(state()).toBe("aborted");
});

it("interrupts a lost run whose output was seen, unless the model resumes deterministically", () => {
  const lost = setUp({ stream: true });
  lost.core.markShown(lost.id, null);
  lost.send(lost.claim(), { seq: 0, type: "output", chunk: "a" });
  lost.loseLease();
  expect(lost.core.store.get(lost.id)).toMatchObject({ state: "failed", error: { code: "interrupted" } });

  const resumed = setUp({ stream: true, resumesDeterministically: true });
  resumed.core.markShown(resumed.id, null);
  resumed.send(resumed.claim(), { seq: 0, type: "output", chunk: "a" }, { seq: 1, type: "output", chunk: "b" });
  resumed.loseLease();
  resumed.send(resumed.claim(), ...["a", "b", "c"].map((chunk, seq) => ({ seq, type: "output", chunk })), {
    seq: 3,
    type: "succeeded",
    output: ["a", "b", "c"],
  });
  const frames = resumed.core.frames(resumed.id, null, 0)?.frames ?? [];
  expect(frames.filter(({ type }) => type === "output").map(({ data }) => data)).toEqual(["a", "b", "c"]);
});

it("asks for what is missing at a gap, and drops what it saw", () => {
  const { claim, send, core, id } = setUp();
  const grant = claim();
  expect(send(grant, { seq: 1, type: "log", text: "two\n" })).toMatchObject({ verdict: "resend", next: 0 });
  const both = [
    { seq: 0, type: "log", text: "one\n" },
    { seq: 1, type: "log", text: "two\n" },
  ];
  send(grant, ...both);
  send(grant, ...both);
  expect(core.snapshot(id, null)?.logs).toBe("one\ntwo\n");
});

it("keeps at most two rows a second of a prediction that yields fast, and tells the pool what is stored", () => {
  const { claim, send, clock, core } = setUp();
  const grant = claim();
  expect(send(grant, { seq: 0, type: "output", chunk: 0 })?.next).toBe(1);
  expect(send(grant, { seq: 1, type: "output", chunk: 1 })?.next).toBe(1);
  clock.now += defaultRules.flushMs;
  core.flush();
  expect(send(grant, { seq: 2, type: "output", chunk: 2 })?.next).toBe(2);
});

it("aborts at a claim that comes after the deadline to start, and times out one that runs too long", () => {
  const late = setUp({ startTimeoutMs: 5000 });
  late.clock.now += 5000;
  const [answer] = late.core.claim({ session: SESSION, jobs: [{ id: late.id, startNow: true }] }, LANES);
  expect(answer).toMatchObject({ verdict: "refused", reason: "aborted" });
  expect(late.state()).toBe("aborted");

  const long = setUp({ totalTimeoutMs: 60_000 });
  const grant = long.claim();
  long.clock.now += 60_000;
  long.core.wake();
  expect(long.core.store.get(long.id)?.error?.code).toBe("timed_out");
  expect(long.core.outgoing.stops.get(SESSION)).toEqual([{ id: long.id, token: grant.token }]);

  const canceled = setUp({ cancelAfterMs: 30_000 });
  canceled.claim();
  canceled.clock.now += 30_000;
  canceled.core.wake();
  expect(canceled.state()).toBe("canceled");
});

it("fails what the log refuses while it waits, and not when another record of it was claimed", () => {
  const running = setUp();
  running.claim();
  running.core.undeliverable(running.id, "too large");
  expect(running.state()).toBe("running");
  const waiting = setUp();
  waiting.core.undeliverable(waiting.id, "too large");
  expect(waiting.core.store.get(waiting.id)).toMatchObject({ state: "failed", error: { code: "undeliverable" } });
});

it("tells a pool to stop once more, also after a crash", () => {
  const { core, reopen, clock, id, claim } = setUp();
  const { token } = claim();
  core.cancel(id, "account");
  clock.now += 2000;
  const reborn = reopen();
  reborn.wake();
  expect(reborn.outgoing.stops.get(SESSION)).toEqual([{ id, token }]);
  reborn.outgoing.stops.clear();
  const error = { code: "canceled", message: "" };
  reborn.deliver([{ id, token, seq: 0, type: "failed", kind: "model", error }], SESSION, LANES);
  clock.now += 60_000;
  reborn.wake();
  expect(reborn.outgoing.stops.size).toBe(0);
  expect(reborn.store.nextWakeAt()).toBeGreaterThan(clock.now + 3_600_000);
});

it("accepts the same submission once, and refuses another payload or another account under its id", () => {
  const { core, id } = setUp();
  expect(core.submit(submission(id))).toMatchObject({ created: false });
  expect(core.submit({ ...submission(id), payloadHash: "other" })).toBeNull();
  expect(core.submit({ ...submission(id), accountId: "other" })).toBeNull();
});

it("asks pools at once when it was away, and gives them a lease before it judges", () => {
  const { core, clock, claim, state, id } = setUp();
  claim();
  clock.now += 3 * defaultRules.leaseMs;
  const gone = { alive: false, remainingMs: 0 };
  for (let waitedMs = 0; waitedMs < defaultRules.leaseMs; waitedMs += defaultRules.firstCheckMs) {
    expect(core.wake().checks.get(SESSION)).toEqual([id]);
    core.judge(SESSION, [id], gone);
    expect(state()).toBe("running");
    clock.now += defaultRules.firstCheckMs;
  }
  expect(core.wake().checks.get(SESSION)).toEqual([id]);
  core.judge(SESSION, [id], gone);
  expect(state()).toBe("waiting");
});

it("feeds the index again after a crash, finished predictions too, until it has them all", () => {
  const { core, reopen, id, claim, send } = setUp();
  send(claim(), { seq: 0, type: "succeeded", output: 1 });
  const reborn = reopen();
  expect([...reborn.outgoing.feeds.values()].flat().map((entry) => entry.id)).toEqual([id]);
  reborn.outgoing.acknowledgeFeed([...reborn.outgoing.feeds.values()].flat());
  reborn.wake();
  expect([...reopen().outgoing.feeds.values()]).toEqual([]);
  expect(core.store.get(id)?.state).toBe("succeeded");
});

it("keeps what a plugin asks from every list, account, dead letter and replay, and publishes who asked", () => {
  const question = { plugin: "model-guard", guarded: "guarded" };
  const { core, id, claim, clock, state } = setUp({ question, startTimeoutMs: 1000, totalTimeoutMs: 1000 });
  const { accountId } = submission(id);
  expect(core.outgoing.feeds.size).toBe(0);
  expect([...(core.outgoing.hands.get("default")?.values() ?? [])]).toMatchObject([{ id, account: "guarded" }]);
  expect(core.snapshot(id, accountId)).toBeNull();
  expect(core.snapshot(id, "guarded")).toBeNull();
  expect(core.cancel(id, accountId)).toBeNull();
  expect(core.snapshot(id, null)).toMatchObject({ id, status: "starting" });
  const { token } = claim();
  expect(core.screening.screened([{ id, token }])).toMatchObject([{ id, accountId, isQuestion: true }]);
  clock.now += 2000;
  core.wake();
  expect(state()).toBe("failed");
  const row = core.store.get(id);
  expect(replayableOf(row)).toEqual({ input: null, reason: "unknown" });
  const all = { topics: new Set(["results", "usage", "jobs.dlq"] as const), withOutput: true, problem: null };
  const records = row === null ? [] : publishedRecords(row, all);
  expect(records.map(({ topic }) => topic)).toEqual(["results", "usage"]);
  for (const { value } of records)
    expect(JSON.parse(value)).toMatchObject({ account: accountId, askedBy: "model-guard" });
});
