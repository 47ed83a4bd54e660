import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { IntervalsRequestSchema } from "../../src/contract/usage.ts";
import type { IntervalsRequest, UsageReport } from "../../src/contract/usage.ts";
import { createSteppedClock } from "../../test/unit/hand-clock.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { Interval } from "./instance-meter.ts";
import { IntervalBook } from "./interval-book.ts";
import { createMeter } from "./meter.ts";
import { createUsageFile } from "./usage-file.ts";
import { UsageSender } from "./usage-sender.ts";

const GPU = { id: "0", kind: "cuda" as const, name: "NVIDIA H200", memoryBytes: null };
const first = { name: "acme/m#0", model: { owner: "acme", name: "m", version: "v" }, devices: ["0"] };
const report: UsageReport = {
  ...{ id: "p", token: "t", attempt: 1, outcome: "superseded" },
  usage: { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 },
};

/**
 * A pool's lives on one folder; each has clocks of its own. `edge.answer`: an error is thrown. Attempts run in every
 * minute, or, `isIdle`, only those that the ledger has.
 */
function setUp() {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-usage-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "usage.json");
  const problems: string[] = [];
  const edge = { requests: [] as IntervalsRequest[], answer: null as Error | null, slow: Promise.resolve() };
  let ranUs = 0;
  const live = (session: string, wallMs: number, reports: UsageReport[] = [], isIdle = false) => {
    const { clock, pass } = createSteppedClock();
    const meter = createMeter(clock);
    meter.devices([GPU]);
    const sender = new UsageSender({
      ...{ clock, session, instances: meter.instances },
      busyUs: () => (isIdle ? meter.busyUs() : (ranUs += 1)),
      file: createUsageFile(path, (problem) => problems.push(problem)),
      reports: () => reports,
      wallMs: () => wallMs + clock.nowMs(),
      onRefused: (why) => problems.push(why),
      http: {
        async json({ body }) {
          edge.requests.push(IntervalsRequestSchema.parse(JSON.parse(String(body))));
          if (edge.answer !== null) throw edge.answer;
          await edge.slow;
          return { next: 1 };
        },
      },
    });
    return { sender, meter, pass };
  };
  const sums = () =>
    edge.requests.map(({ session, from, intervals }) => [session, from, intervals.map((i) => i.gpuUs)]);
  return { edge, live, sums, path, problems };
}

it("tells each minute once, by how long ago it was, and leaves nothing on disk that was taken", async () => {
  const { edge, live, sums, path } = setUp();
  const { sender, meter, pass } = live("session-1", 5_000_000);
  sender.start();
  meter.instances.lives(first, "idle");
  await pass(120_000);
  expect(sums()).toEqual([
    ["session-1", 0, [60_000_000]],
    ["session-1", 1, [60_000_000]],
  ]);
  expect(edge.requests[0]?.intervals[0]).toEqual({
    ...{ instance: "acme/m#0", model: "acme/m", version: "v", device: "NVIDIA H200", phase: "idle" },
    ...{ gpuUs: 60_000_000, endedMsAgo: 0, lengthMs: 60_000 },
  });
  expect(existsSync(path)).toBe(false);
});

it("keeps each minute while nothing runs, and tells them as one after a quarter of an hour", async () => {
  const { edge, live, sums, path } = setUp();
  const { sender, meter, pass } = live("session-1", 0, [], true);
  sender.start();
  meter.instances.lives(first, "idle");
  await pass(60_000);
  sender.retryNow();
  await pass(14 * 60_000 - 1);
  expect(sums()).toEqual([]);
  expect(existsSync(path)).toBe(true);
  await pass(1);
  expect(sums()).toEqual([["session-1", 0, [900_000_000]]]);
  expect(edge.requests[0]?.intervals[0]).toMatchObject({ endedMsAgo: 0, lengthMs: 900_000, phase: "idle" });
  expect(existsSync(path)).toBe(false);
  await pass(900_000);
  expect(sums().slice(1)).toEqual([["session-1", 1, [900_000_000]]]);
});

it("tells within a minute that an attempt ran, or an instance was set up", async () => {
  const { live, sums } = setUp();
  const { sender, meter, pass } = live("session-1", 0, [], true);
  sender.start();
  meter.instances.lives(first, "idle");
  await pass(130_000);
  const attempt = meter.ledger.begin(["0"], 1, 130_000_000);
  await pass(10_000);
  meter.ledger.end(attempt, 140_000_000);
  await pass(40_000);
  expect(sums()).toEqual([["session-1", 0, [170_000_000]]]);
  meter.instances.lives(first, "setup");
  await pass(60_000);
  expect(sums().slice(1)).toEqual([["session-1", 1, [60_000_000]]]);
  meter.instances.lives(first, "idle");
  await pass(120_000);
  expect(sums()).toHaveLength(2);
  await sender.close();
  expect(sums().slice(2)).toEqual([["session-1", 2, [120_000_000]]]);
});

it("merges no hour's intervals into another's, and tells the next life of what it kept", async () => {
  const { live, sums } = setUp();
  const killed = live("session-1", 3_600_000 - 150_000, [], true);
  killed.sender.start();
  await killed.pass(300_000);
  expect(sums()).toEqual([]);
  const next = live("session-2", 3_800_000, [], true);
  next.sender.restore();
  next.sender.start();
  await next.pass(0);
  expect(sums()).toEqual([["session-1", 0, [120_000_000, 180_000_000]]]);
});

it("tells again, under the same numbers, what it does not know to be taken", async () => {
  const { edge, live, sums } = setUp();
  const { sender, pass } = live("session-1", 0);
  sender.start();
  edge.answer = new TransportError("away");
  await pass(120_000);
  edge.answer = null;
  sender.retryNow();
  await pass(0);
  const [lost, again, ...rest] = sums();
  expect(lost).toEqual(["session-1", 0, [60_000_000]]);
  expect(again).toEqual(lost);
  expect(rest).toEqual([lost, ["session-1", 1, [60_000_000]]]);
  expect(edge.requests.at(2)?.intervals[0]?.endedMsAgo).toBe(60_000);
});

it("has its next life tell what was closed, as of then, and hands it the reports of attempts", async () => {
  const { edge, live, sums, path } = setUp();
  edge.answer = new TransportError("away");
  const killed = live("session-1", 1_000_000, [report]);
  killed.sender.start();
  await killed.pass(90_000);
  edge.answer = null;
  edge.requests.length = 0;
  const next = live("session-2", 1_200_000);
  expect(next.sender.restore()).toEqual([report]);
  next.sender.start();
  await next.pass(0);
  expect(sums()).toEqual([["session-1", 0, [60_000_000]]]);
  expect(edge.requests[0]?.intervals[0]).toMatchObject({ endedMsAgo: 140_000, lengthMs: 60_000 });
  await next.pass(60_000);
  expect(sums().slice(1)).toEqual([["session-2", 0, [60_000_000]]]);
  expect(existsSync(path)).toBe(false);
  expect(live("session-3", 0).sender.restore()).toEqual([]);
});

it("tells the open minute at its end, and no longer waits for an edge than it may", async () => {
  const { edge, live, sums, path } = setUp();
  const { sender, pass } = live("session-1", 0);
  await pass(10_000);
  await sender.end(1000);
  expect(sums()).toEqual([["session-1", 0, [10_000_000]]]);
  edge.answer = new TransportError("away");
  await pass(5000);
  await sender.end(1000);
  expect(existsSync(path)).toBe(true);
});

it("tells its last interval behind those that are on their way", async () => {
  const { edge, live, sums } = setUp();
  const { sender, pass } = live("session-1", 0);
  const { promise, resolve } = Promise.withResolvers<void>();
  edge.slow = promise;
  await pass(1000);
  void sender.close();
  await pass(2000);
  const ended = sender.end(60_000);
  resolve();
  await ended;
  expect(sums()).toEqual([
    ["session-1", 0, [1_000_000]],
    ["session-1", 1, [2_000_000]],
  ]);
});

it("drops what the edge refuses, and keeps what an older edge, or a wrong token, does not take", async () => {
  const { edge, live, problems, sums } = setUp();
  const { sender, pass } = live("session-1", 0);
  sender.start();
  for (const status of [404, 401, 503]) {
    edge.answer = new StatusError(status, "/pool/v1/usage", "no");
    await pass(60_000);
  }
  expect(problems).toEqual([]);
  edge.answer = new StatusError(422, "/pool/v1/usage", "no");
  await pass(60_000);
  expect(problems).toHaveLength(2);
  edge.requests.length = 0;
  edge.answer = null;
  await pass(60_000);
  expect(sums()).toEqual([["session-1", 2, [60_000_000]]]);
});

it("makes one of intervals of a kind, rather than keep too many or drop some", () => {
  const book = new IntervalBook();
  const interval = (phase: Interval["phase"], at: number): Interval => ({
    ...{ instance: "i", model: null, device: "cpu", phase, fromMs: at, toMs: at + 1, gpuUs: 1000 },
  });
  book.add([interval("idle", 0)]);
  expect(book.next()).toEqual({ from: 0, intervals: [interval("idle", 0)] });
  for (let at = 1; at <= 3000; at += 1) book.add([interval(at % 2 === 0 ? "idle" : "setup", at)]);
  expect(book.size).toBeLessThan(2001);
  // What was sent keeps its number and what it says.
  expect(book.next()).toEqual({ from: 0, intervals: [interval("idle", 0)] });
  let us = 0;
  let span = Infinity;
  for (let next = book.next(); next !== null; next = book.next()) {
    for (const { gpuUs, fromMs } of next.intervals) {
      us += gpuUs;
      span = Math.min(span, fromMs);
    }
    book.settle();
  }
  expect([us, span]).toEqual([3001 * 1000, 0]);
});
