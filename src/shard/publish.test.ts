/** Publishing while the database or the log never answers a call. */
import { expect, it, onTestFinished, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Env } from "../env.ts";
import type { LogRecord } from "../log/types.ts";
import { ShardCore } from "./core.ts";
import { createPublisher } from "./publish.ts";
import { defaultRules } from "./rules.ts";

const log = vi.hoisted(() => ({ produce: async (_records: readonly LogRecord[]): Promise<never[]> => [] }));
vi.mock("../log/current-log.ts", () => ({ currentLog: async () => ({ producer: log }) }));

it.each(["database", "log"])("tries again what the %s never answered", async (sick) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let isHung = true;
  const answer = async (who: string): Promise<void> => {
    if (isHung && who === sick) await new Promise<never>(() => {});
  };
  const published: string[] = [];
  log.produce = async (records) => {
    await answer("log");
    published.push(...records.map(({ topic }) => topic));
    return [];
  };
  const DB = { prepare: () => ({ bind: () => ({}) }), batch: async () => answer("database") };
  const core = new ShardCore(memorySql(), {
    ...{ rules: defaultRules, now: () => Date.now(), newToken: () => "token", publishes: true },
  });
  const publisher = createPublisher({ DB } as unknown as Env, core, {
    ...{ topics: new Set(["results", "jobs.dlq"] as const), withOutput: false, problem: null },
  });
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
