import { expect, test } from "vitest";
import type { ClaimAnswer, Grant } from "../../src/contract/claim.ts";
import type { Clock } from "../scheduling/clock.ts";
import { Intake } from "./intake.ts";
import type { JobSource, PollOptions, SourcedJob } from "./job-source.ts";

/** A clock whose time a test moves; what falls due runs in order. */
function createTestClock() {
  let nowMs = 0;
  let timers: { atMs: number; run: () => void }[] = [];
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const clock: Clock = {
    nowMs: () => nowMs,
    after(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.push(timer);
      return () => (timers = timers.filter((other) => other !== timer));
    },
  };
  return {
    clock,
    async pass(ms: number) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const [next] = timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
        if (next === undefined) break;
        timers = timers.filter((other) => other !== next);
        nowMs = next.atMs;
        next.run();
        await settle();
      }
      nowMs = untilMs;
      await settle();
    },
  };
}

const ID = "0".repeat(26);
const grant = { id: ID, verdict: "granted", token: "t" } as unknown as Grant;
const job = { id: ID } as unknown as SourcedJob["job"];

function setUp(answers: (options: PollOptions) => SourcedJob[] | Error, claimed: ClaimAnswer[][] = []) {
  const { clock, pass } = createTestClock();
  const state = { room: 4, startNow: 2, open: true, polls: 0, commits: 0, leaves: 0, claims: 0, problem: "" };
  const grants: Grant[] = [];
  const source: JobSource = {
    lane: "default",
    async poll(options) {
      state.polls += 1;
      const jobs = answers(options);
      if (jobs instanceof Error) throw jobs;
      if (jobs.length === 0) await new Promise<void>((resolve) => clock.after(options.waitMs, resolve));
      return { jobs, commit: () => (state.commits += 1) };
    },
    async leave() {
      state.leaves += 1;
    },
  };
  const intake = new Intake({
    source,
    claims: { claim: async () => claimed[state.claims++] ?? [] },
    clock,
    idleAfterMs: 1000,
    room: () => ({ room: state.room, startNow: state.startNow }),
    channelOpen: () => state.open,
    onGrants: (some) => {
      grants.push(...some);
      state.room -= some.length;
    },
    onRefused: () => {},
    onState: (problem) => (state.problem = problem ?? ""),
  });
  return { intake, pass, state, grants };
}

test("rests when nothing comes and the channel is open; a nudge wakes it; a closed channel keeps it polling", async () => {
  const { intake, pass, state } = setUp(() => []);
  intake.start();
  await pass(10_000);
  expect(state.polls).toBe(1);
  expect(intake.state).toBe("idle");
  intake.nudge();
  await pass(1);
  expect(state.polls).toBe(2);
  state.open = false;
  await pass(5000);
  expect(state.polls).toBeGreaterThan(4);
});

test("commits once claims are answered, and claims itself what the log did not", async () => {
  const jobs = [[{ job, answer: null }], [{ job, answer: grant }]];
  const { intake, pass, state, grants } = setUp(() => jobs.shift() ?? [], [[grant]]);
  intake.start();
  await pass(10);
  expect(grants).toEqual([grant, grant]);
  expect(state).toMatchObject({ claims: 1, commits: 2 });
});

test("asks again for what is answered later", async () => {
  const jobs = [[{ job, answer: null }]];
  const { intake, pass, state, grants } = setUp(
    () => jobs.shift() ?? [],
    [[{ id: ID, verdict: "later" }], [{ id: ID, verdict: "later" }], [grant]],
  );
  intake.start();
  await pass(500);
  expect(state.claims).toBe(3);
  expect(grants).toEqual([grant]);
});

test("without room it polls no more, leaves the group after a second, once, and comes back", async () => {
  const { intake, pass, state } = setUp(() => [{ job, answer: grant }]);
  intake.start();
  await pass(900);
  expect(state).toMatchObject({ polls: 4, leaves: 0 });
  expect(intake.state).toBe("full");
  await pass(10_000);
  expect(state).toMatchObject({ polls: 4, leaves: 1 });
  state.room = 1;
  intake.roomChanged();
  await pass(1);
  expect(state.polls).toBe(5);
});

test("a log that fails is tried again with growing pauses, never longer than 2 s", async () => {
  const { intake, pass, state } = setUp(() => new Error("away"));
  intake.start();
  await pass(1000);
  expect(state.polls).toBeGreaterThan(3);
  expect(state.problem).toBe("away");
  const before = state.polls;
  await pass(60_000);
  expect(state.polls - before).toBeGreaterThan(30);
  expect(state.polls - before).toBeLessThan(120);
});

test("stopping leaves the group", async () => {
  const { intake, pass, state } = setUp(() => []);
  intake.start();
  await pass(10);
  const stopped = intake.stop(1000);
  await pass(1500);
  await stopped;
  expect(state.leaves).toBe(1);
  await pass(5000);
  expect(state.polls).toBe(1);
});
