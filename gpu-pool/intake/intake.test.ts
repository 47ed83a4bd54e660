import { expect, test } from "vitest";
import { createSteppedClock } from "../../test/unit/hand-clock.ts";
import type { ModelRoom } from "../../src/contract/channel.ts";
import type { ClaimAnswer, ClaimRequest, Grant } from "../../src/contract/claim.ts";
import { Claiming } from "./claiming.ts";
import type { JobSource, PollOptions, SourcedJob } from "./job-source.ts";
import { ServedIntake } from "./served-intake.ts";
import { TopicIntake } from "./topic-intake.ts";

const ID = "0".repeat(26);
const grant = { id: ID, verdict: "granted", token: "t" } as unknown as Grant;
const jobOf = (model: string, id = ID): SourcedJob["job"] =>
  ({ id, epoch: 0, model, version: "v" }) as unknown as SourcedJob["job"];
const job = jobOf("a/b");

function setUp(
  isServed: boolean,
  answers: (options: PollOptions) => SourcedJob[] | Error,
  claimed: ClaimAnswer[][] = [],
) {
  const { clock, pass } = createSteppedClock();
  const state = { room: 4, startNow: 2, open: true, polls: 0, commits: 0, leaves: 0, claims: 0, problem: "" };
  const grants: Grant[] = [];
  const asked: ClaimRequest["jobs"][] = [];
  const refused: string[] = [];
  const polled: string[] = [];
  const source: JobSource = {
    lane: "default",
    isServed,
    async poll(options) {
      state.polls += 1;
      const jobs = answers(options);
      if (jobs instanceof Error) throw jobs;
      if (jobs.length === 0) await new Promise<void>((resolve) => void clock.after(options.waitMs, resolve));
      return { jobs, commit: () => (state.commits += 1) };
    },
    async leave() {
      state.leaves += 1;
    },
  };
  const rooms = (): ModelRoom[] => [
    { model: "a/b", version: "v", room: state.room, startNow: state.startNow, readyInMs: 0, problem: null },
    { model: "a/full", version: "v", room: 0, startNow: 0, readyInMs: 0, problem: null },
  ];
  const claiming = new Claiming({
    claims: {
      async claim(jobs) {
        asked.push(jobs);
        return claimed[state.claims++] ?? [];
      },
    },
    clock,
    rooms,
    onGrants: (some) => {
      grants.push(...some);
      state.room -= some.length;
    },
    onRefused: (reason) => void refused.push(reason),
  });
  const options = {
    source,
    claiming,
    clock,
    rooms,
    channelOpen: () => state.open,
    onPoll(said: readonly ModelRoom[]) {
      polled.push(...said.map(({ model, room }) => `${model} ${room}`));
      return () => void polled.push("answered");
    },
    onState: (problem: string | null) => void (state.problem = problem ?? ""),
    random: () => 1,
  };
  const intake = isServed ? new ServedIntake(options) : new TopicIntake(options);
  return { intake, claiming, pass, state, grants, asked, refused, polled };
}

const served = setUp.bind(null, true);
const topics = setUp.bind(null, false);

test("served topics are polled when there is work, until nothing comes, and never by the clock", async () => {
  const jobs = [[{ job, answer: grant }], [{ job, answer: grant }], []];
  const { intake, pass, state, grants, polled } = served(() => jobs.shift() ?? []);
  intake.start();
  await pass(60_000);
  expect(state).toMatchObject({ polls: 0, leaves: 0 });
  intake.work();
  await pass(1);
  expect(grants).toHaveLength(2);
  expect(polled).toEqual(["a/b 4", "answered", "a/b 3", "answered", "a/b 2", "answered"]);
  expect(state.polls).toBe(3);
  await pass(60_000);
  expect(state.polls).toBe(3);
  expect(intake.state).toBe("waiting");
});

test("while the channel is down served topics are polled every one or two seconds", async () => {
  const { intake, pass, state } = served(() => []);
  state.open = false;
  intake.start();
  await pass(10_000);
  expect(state.polls).toBe(6);
  state.open = true;
  intake.channelChanged();
  await pass(60_000);
  expect(state.polls).toBe(6);
});

test("told of work without room, it polls as soon as there is some", async () => {
  const { intake, pass, state } = served(() => []);
  state.room = 0;
  intake.start();
  intake.work();
  await pass(60_000);
  expect(state.polls).toBe(0);
  expect(intake.state).toBe("full");
  state.room = 1;
  intake.roomChanged();
  await pass(1);
  expect(state.polls).toBe(1);
});

test("work that is told of during a poll is polled for after it", async () => {
  let told = false;
  const { intake, pass, state } = served(() => {
    if (!told) {
      told = true;
      intake.work();
    }
    return [];
  });
  intake.start();
  intake.work();
  await pass(1);
  expect(state.polls).toBe(2);
});

test("a served poll that failed is tried again with growing pauses though nobody tells of work", async () => {
  const failures = Array.from({ length: 5 }, () => new Error("away"));
  const { intake, pass, state } = served(() => failures.shift() ?? []);
  intake.start();
  intake.work();
  await pass(10);
  expect(state).toMatchObject({ polls: 1, problem: "away" });
  await pass(10_000);
  expect(state).toMatchObject({ polls: 6, problem: "" });
});

test("topics are polled while there is room, claims are answered, then offsets committed", async () => {
  const jobs = [[{ job, answer: null }], [{ job, answer: grant }]];
  const { intake, pass, state, grants, asked } = topics(() => jobs.shift() ?? [], [[grant]]);
  intake.start();
  await pass(10);
  expect(grants).toEqual([grant, grant]);
  expect(asked).toEqual([[{ id: ID, epoch: 0, startNow: true }]]);
  expect(state).toMatchObject({ claims: 1, commits: 2 });
});

test("only jobs of models with room are claimed, and no more start at once than may", async () => {
  const some = ["1", "2", "3"].map((id) => ({ job: jobOf("a/b", id), answer: null }));
  const others = [jobOf("a/full", "4"), jobOf("not/here", "5")].map((one) => ({ job: one, answer: null }));
  const jobs = [[...others, ...some]];
  const { intake, pass, asked, refused, state } = topics(() => jobs.shift() ?? []);
  intake.start();
  await pass(10);
  expect(asked[0]?.map(({ id, startNow }) => [id, startNow])).toEqual([
    ["1", true],
    ["2", true],
    ["3", false],
  ]);
  expect(refused).toEqual(["no_room", "no_room"]);
  expect(state.commits).toBe(1);
});

test("asks again for what is answered later", async () => {
  const jobs = [[{ job, answer: null }]];
  const later: ClaimAnswer = { id: ID, verdict: "later" };
  const { intake, pass, state, grants } = topics(() => jobs.shift() ?? [], [[later], [later], [grant]]);
  intake.start();
  await pass(500);
  expect(state.claims).toBe(3);
  expect(grants).toEqual([grant]);
});

test("asks again for what the edge answered later in a served poll", async () => {
  const jobs: SourcedJob[][] = [[{ job, answer: { id: ID, verdict: "later" } }]];
  const { intake, pass, grants } = served(() => jobs.shift() ?? [], [[grant]]);
  intake.start();
  intake.work();
  await pass(500);
  expect(grants).toEqual([grant]);
});

test("without room it polls no more, leaves the group after a second, once, and comes back", async () => {
  const { intake, pass, state } = topics(() => [{ job, answer: grant }]);
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
  const { intake, pass, state } = topics(() => new Error("away"));
  intake.start();
  await pass(1000);
  expect(state.polls).toBeGreaterThan(3);
  expect(state.problem).toBe("away");
  const before = state.polls;
  await pass(60_000);
  expect(state.polls - before).toBeGreaterThan(30);
  expect(state.polls - before).toBeLessThan(120);
});

test("stopping leaves the group and polls no more", async () => {
  const { intake, pass, state } = topics(() => []);
  intake.start();
  await pass(10);
  const stopped = intake.stop(1000);
  await pass(1500);
  await stopped;
  expect(state.leaves).toBe(1);
  await pass(15_000);
  expect(state.polls).toBe(1);
});

test("a stopped served intake polls no more, whatever it is told", async () => {
  const { intake, pass, state } = served(() => []);
  intake.start();
  await pass(10);
  const stopped = intake.stop(1000);
  await pass(1500);
  await stopped;
  state.open = false;
  intake.work();
  intake.channelChanged();
  await pass(15_000);
  expect(state.polls).toBe(0);
});

test("what is under way and may bring grants is known until it has ended", async () => {
  const { claiming, pass } = served(() => []);
  const { promise, resolve } = Promise.withResolvers<void>();
  void claiming.track(promise);
  let isSettled = false;
  void claiming.settled().then(() => (isSettled = true));
  await pass(10);
  expect(isSettled).toBe(false);
  resolve();
  await pass(10);
  expect(isSettled).toBe(true);
});

test("claims all that came, though it is more than one request takes", async () => {
  const many = Array.from({ length: 2500 }, (_, index) => jobOf("a/b", String(index).padStart(26, "0")));
  const unread = [many.map((one) => ({ job: one, answer: null }))];
  const { intake, pass, state, asked } = topics(() => unread.shift() ?? []);
  state.room = 3000;
  intake.start();
  await pass(1);
  expect(asked.flat().map(({ id }) => id)).toEqual(many.map(({ id }) => id));
  expect(Math.max(...asked.map((jobs) => jobs.length))).toBe(1000);
  expect(state.commits).toBe(1);
});
