import { createServer } from "node:http";
import type { Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { roomOf } from "../../src/contract/kafka-requests.ts";
import type { DialectRequest } from "../../src/contract/kafka-requests.ts";
import { Claiming } from "./claiming.ts";
import { TopicIntake } from "./topic-intake.ts";
import { createUpstashKafka } from "./upstash-kafka.ts";
import { createUpstashSource } from "./upstash-source.ts";
import { systemClock } from "../system-clock.ts";

let server: Server;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const ID = "0".repeat(26);
const job = {
  v: 1,
  id: ID,
  lane: "default",
  priority: "normal",
  model: "a/b",
  version: "v",
  cost: 1,
  startBy: 1,
  epoch: 0,
};
const refused = { id: ID, verdict: "refused", reason: "terminal" };

async function start(records: unknown[], { leaveStatus = 200, isServed = false } = {}) {
  const seen: { path: string; body: string; headers: Record<string, unknown> }[] = [];
  const problems: string[] = [];
  server = createServer((request, reply) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const path = request.url ?? "";
      seen.push({ path, body, headers: request.headers });
      if (path.startsWith("/delete-consumer")) reply.writeHead(leaveStatus).end('{"error":"no such instance"}');
      else reply.end(path.startsWith("/consume") ? JSON.stringify(records) : '{"result":"Success"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const kafka = createUpstashKafka({ url: new URL(`http://127.0.0.1:${port}`), username: "pool", password: "x" });
  const onProblem = (problem: string): void => void problems.push(problem);
  const source = createUpstashSource({
    kafka,
    isServed,
    lane: "default",
    session: "session1",
    clock: systemClock,
    onProblem,
  });
  return { source, seen, problems, commits: () => seen.filter(({ path }) => path.startsWith("/commit")) };
}

const rooms = [
  { model: "a/b", version: "v", room: 3, startNow: 2, readyInMs: 0, problem: null },
  { model: "a/full", version: "v", room: 0, startNow: 0, readyInMs: 0, problem: null },
];
const poll = { rooms, waitMs: 10 };

const record = (offset: number, value: unknown, headers: { key: string; value: string }[] = []) => ({
  topic: "jobs.default.normal",
  partition: 0,
  offset,
  value: typeof value === "string" ? value : JSON.stringify(value),
  headers,
});

test("says how much room there is and who asks, and commits the offset after the last record, once", async () => {
  const { source, seen, commits } = await start([record(4, job), record(5, job)]);
  const polled = await source.poll(poll);
  polled.commit();
  polled.commit();
  expect(polled.jobs).toMatchObject([{ job: { id: ID }, answer: null }, { answer: null }]);
  expect(seen[0]).toMatchObject({
    path: "/consume/lane.default/session1",
    headers: { "edgeplane-room": "3", "edgeplane-session": "session1" },
  });
  expect(seen[0]?.headers["edgeplane-model-room"]).toBeUndefined();
  await expect.poll(() => commits().length).toBe(1);
  expect(JSON.parse(commits()[0]?.body ?? "")).toEqual([{ topic: "jobs.default.normal", partition: 0, offset: 6 }]);
});

test("tells the edge the room of each model; what the edge granted needs no commit, and there is no group to leave", async () => {
  const answer = { key: "edgeplane-claim", value: JSON.stringify(refused) };
  const { source, seen, commits } = await start([record(4, job, [answer])], { isServed: true });
  const polled = await source.poll(poll);
  polled.commit();
  await source.leave();
  expect(polled.jobs).toMatchObject([{ answer: refused }]);
  expect(JSON.parse(String(seen[0]?.headers["edgeplane-model-room"]))).toEqual([
    ["a/b", "v", 3, 2],
    ["a/full", "v", 0, 0],
  ]);
  expect(commits()).toEqual([]);
  expect(seen).toHaveLength(1);
});

test("passes over a record that is no job, without a word of its content", async () => {
  const { source, problems } = await start([record(7, "a secret"), record(8, job)]);
  const { jobs } = await source.poll(poll);
  expect(jobs).toHaveLength(1);
  expect(problems).toEqual(["jobs.default.normal[0]@7 is not a job; skipped"]);
});

test("a poll of nothing but what is no job is passed over for good", async () => {
  const { source, commits } = await start([record(7, "no job"), record(8, "no job")]);
  const clock = { ...systemClock, after: (_: number, act: () => void) => systemClock.after(0, act) };
  const claiming = new Claiming({
    claims: { claim: async () => [] },
    clock,
    rooms: () => rooms,
    onGrants() {},
    onRefused() {},
  });
  const intake = new TopicIntake({
    ...{ source, claiming, clock, rooms: () => rooms, channelOpen: () => true, onPoll: () => () => {}, onState() {} },
  });
  intake.start();
  await expect.poll(() => commits().length).toBeGreaterThan(0);
  await intake.stop(1000);
  expect(JSON.parse(commits()[0]?.body ?? "")).toEqual([{ topic: "jobs.default.normal", partition: 0, offset: 9 }]);
});

test("asks a log for no more than it gives at once, however much room there is", async () => {
  const { source, seen } = await start([]);
  await source.poll({
    ...poll,
    rooms: [
      { ...rooms[0]!, room: 8000 },
      { ...rooms[0]!, model: "a/c", room: 8000 },
    ],
  });
  // As the bridge reads it, which refuses more.
  const asked = roomOf({ header: (name: string) => seen[0]?.headers[name] } as unknown as DialectRequest);
  expect(asked).toBe(10_000);
});

test("leaving twice is no problem; a log that fails is one for the caller", async () => {
  const gone = await start([], { leaveStatus: 404 });
  await expect(gone.source.leave()).resolves.toBeUndefined();
  server.close();
  const broken = await start([], { leaveStatus: 500 });
  await expect(broken.source.leave()).rejects.toThrow("no such instance");
});
