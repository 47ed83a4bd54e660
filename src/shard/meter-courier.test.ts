/** Shards hand usage on in few batches, since each costs rows of its account's meter, and within seconds. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Env } from "../env.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { Batch } from "../metering/take.ts";
import { ShardCore } from "./core.ts";
import { createMeterCourier } from "./meter-courier.ts";
import { defaultRules } from "./rules.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp() {
  const core = new ShardCore(memorySql(), {
    rules: defaultRules,
    now: () => Date.now(),
    newToken: () => "t",
    meters: true,
  });
  const batches: { at: number; count: number }[] = [];
  let hangs = false;
  const meter = {
    async take(_account: string, { records }: Batch): Promise<void> {
      const isLost = hangs;
      hangs = false;
      if (isLost) await new Promise(() => {});
      batches.push({ at: Date.now(), count: records.length });
    },
  };
  const env = { METER: { getByName: () => meter } } as unknown as Env;
  const courier = createMeterCourier(env, core);
  /** Predictions that a cache answers: each has one record. */
  const end = (count: number): void => {
    for (let n = 0; n < count; n += 1)
      core.submit({ ...submission(newPredictionId(1)), accountId: "a", answer: { output: "known", yielded: false } });
    courier.kick();
  };
  return { batches, courier, end, hang: () => void (hangs = true) };
}

it("of a steady load goes in one batch each three seconds, and of one prediction at once", async () => {
  const { batches, courier, end } = setUp();
  end(1);
  await vi.advanceTimersByTimeAsync(250);
  expect(batches.map(({ count }) => count)).toEqual([1]);
  for (let second = 0; second < 30; second += 1) {
    end(10);
    await vi.advanceTimersByTimeAsync(1000);
  }
  await vi.advanceTimersByTimeAsync(3000);
  expect(batches.reduce((sum, { count }) => sum + count, 0)).toBe(301);
  expect(batches.length).toBeLessThanOrEqual(13);
  const waits = batches.slice(1).map(({ at }, index) => at - (batches[index]?.at ?? 0));
  expect(Math.max(...waits)).toBeLessThanOrEqual(4000);
  expect(courier.isBusy()).toBe(false);
});

it("goes as soon as a batch is full", async () => {
  const { batches, end } = setUp();
  end(10);
  await vi.advanceTimersByTimeAsync(500);
  end(1500);
  await vi.advanceTimersByTimeAsync(500);
  expect(batches.map(({ count }) => count)).toEqual([10, 500, 500, 500]);
});

it("is told again by the next call where a meter never answers one", async () => {
  const { batches, end, hang } = setUp();
  hang();
  end(1);
  await vi.advanceTimersByTimeAsync(300);
  end(1);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(batches.map(({ count }) => count)).toEqual([2]);
});
