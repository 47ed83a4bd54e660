/** Publishing while the database or the log never answers a call, or refuses it. */
import { expect, it, onTestFinished, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Env } from "../env.ts";
import type { LogRecord } from "../log/types.ts";
import { log } from "../telemetry/log.ts";
import { ShardCore } from "./core.ts";
import { createPublisher } from "./publish.ts";
import { defaultRules } from "./rules.ts";

const kafka = vi.hoisted(() => ({ produce: async (_records: readonly LogRecord[]): Promise<never[]> => [] }));
vi.mock("../log/current-log.ts", () => ({ currentLog: async () => ({ producer: kafka }) }));

function setUp(env: Env) {
  const core = new ShardCore(memorySql(), {
    ...{ rules: defaultRules, now: () => Date.now(), newToken: () => "token", publishes: true },
  });
  const topics = new Set(["results", "jobs.dlq"] as const);
  return { core, publisher: createPublisher(env, core, { topics, withOutput: false, problem: null }) };
}

it.each(["database", "log"])("tries again what the %s never answered", async (sick) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let isHung = true;
  const answer = async (who: string): Promise<void> => {
    if (isHung && who === sick) await new Promise<never>(() => {});
  };
  const published: string[] = [];
  kafka.produce = async (records) => {
    await answer("log");
    published.push(...records.map(({ topic }) => topic));
    return [];
  };
  const DB = { prepare: () => ({ bind: () => ({}) }), batch: async () => answer("database") };
  const { core, publisher } = setUp({ DB } as unknown as Env);
  core.submit({ ...submission("p1"), startTimeoutMs: 1 });
  await vi.advanceTimersByTimeAsync(10);
  core.wake();
  publisher.kick();
  await vi.advanceTimersByTimeAsync(1000);
  isHung = false;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(published).toEqual(["results", "jobs.dlq"]);
  expect(core.ended.isPending()).toBe(false);
});

it("says why nothing is published, once until something is", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const warned = vi.spyOn(log, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  let isRefused = true;
  kafka.produce = async () => {
    if (isRefused) throw new Error("no right to the topic `results`");
    return [];
  };
  const { core, publisher } = setUp({} as Env);
  const end = (id: string): void => {
    core.submit({ ...submission(id), answer: { output: "known", yielded: false } });
    publisher.kick();
  };
  end("p1");
  await vi.advanceTimersByTimeAsync(60_000);
  isRefused = false;
  await vi.advanceTimersByTimeAsync(60_000);
  isRefused = true;
  end("p2");
  await vi.advanceTimersByTimeAsync(60_000);
  const why = ["ends_not_published", { reason: "Error: no right to the topic `results`" }];
  expect(warned.mock.calls).toEqual([why, why]);
});
