import { afterEach, expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import type { Env } from "../env.ts";
import { noteLogSetting } from "../log/current-log.ts";
import { LaneCore } from "./core.ts";
import { createReleases } from "./releases.ts";
import type { LaneEntry } from "./types.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function entry(id: string): LaneEntry {
  const about = { account: "account", weight: 1, priority: "normal", model: "local/echo", version: "v" } as const;
  return { ...about, id, cost: 1, createdAt: Date.now(), startBy: Date.now() + 60_000, traceparent: null };
}

it("goes on releasing after a failure, though nothing waited any more when it was to be tried again", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const produced: string[] = [];
  let isAway = true;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (_, init) => {
    if (isAway) throw new Error("the log is away");
    const records = JSON.parse(String(init?.body)) as { topic: string; value: string }[];
    for (const { value } of records) produced.push((JSON.parse(value) as { id: string }).id);
    return Response.json(records.map(({ topic }, offset) => ({ topic, partition: 0, offset, timestamp: 1 })));
  });
  const env = {} as Env;
  const producer = { username: "edge", password: "secret" };
  noteLogSetting(env, {
    epoch: 1,
    since: 1,
    choice: { driver: "upstash", url: "https://kafka.test", producer, pool: null },
  });
  const core = new LaneCore(memorySql(), { now: () => Date.now() });
  const kv = { get: () => undefined, put: () => {} };
  const later: (() => void)[] = [];
  const releases = createReleases({ env, core, lane: () => "default", kv, after: (_, call) => void later.push(call) });

  const first = entry("p1");
  core.offer([first]);
  await releases.release();
  // It was pushed to its pool, or canceled, before its record could be tried again.
  core.withdraw([first]);
  isAway = false;
  for (const call of later.splice(0)) call();

  core.offer([entry("p2")]);
  await releases.release();
  expect(produced).toEqual(["p2"]);
});

it("goes on releasing where the database never answered which log it is", async () => {
  vi.useFakeTimers();
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const produced: string[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (_, init) => {
    const records = JSON.parse(String(init?.body)) as { topic: string; key: string }[];
    produced.push(...records.map(({ key }) => key));
    return Response.json(records.map(({ topic }, offset) => ({ topic, partition: 0, offset, timestamp: 1 })));
  });
  let isHung = true;
  const first = async () => (isHung ? new Promise<never>(() => {}) : null);
  const env = { DB: { prepare: () => ({ first }) } } as unknown as Env;
  const producer = { username: "edge", password: "secret" };
  const choice = { driver: "upstash" as const, url: "https://kafka.test", producer, pool: null };
  noteLogSetting(env, { epoch: 2, since: 1, choice });
  // What is known is too old by then.
  await vi.advanceTimersByTimeAsync(20_000);
  const core = new LaneCore(memorySql(), { now: () => Date.now() });
  const kv = { get: () => undefined, put: () => {} };
  const after = (delayMs: number, call: () => void) => void setTimeout(call, delayMs);
  const releases = createReleases({ env, core, lane: () => "default", kv, after });
  core.offer([entry("p3")]);
  void releases.release();
  await vi.advanceTimersByTimeAsync(1000);
  isHung = false;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(produced).toEqual(["p3"]);
});
