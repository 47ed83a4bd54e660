import { afterEach, expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import type { Env } from "../env.ts";
import { noteLogSetting } from "../log/current-log.ts";
import { LaneCore } from "./core.ts";
import { createReleases } from "./releases.ts";
import type { LaneEntry } from "./types.ts";

afterEach(() => void vi.restoreAllMocks());

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
