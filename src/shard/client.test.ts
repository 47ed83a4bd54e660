import { expect, onTestFinished, test, vi } from "vitest";
import { newPredictionId, shardOf } from "../contract/ids.ts";
import type { UsageReport } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import { submission } from "../../test/unit/submission.ts";
import { deliverEvents, getMany, openStream, removePredictionData, reportUsage, submit } from "./client.ts";

test("a page of predictions of one shard comes in parts that a call can carry, and in its order", async () => {
  const sizes: number[] = [];
  const many = async (ids: string[]) => {
    sizes.push(ids.length);
    return ids.map((id) => ({ id })).toReversed();
  };
  const env = { SHARD_COUNT: "1", SHARD: { getByName: () => ({ many }) } } as unknown as Env;
  const ids = Array.from({ length: 60 }, () => newPredictionId(1));
  expect((await getMany(env, ids, "account")).map(({ id }) => id)).toEqual(ids);
  expect(sizes).toEqual([25, 25, 10]);
});

test("a page of predictions of several shards is refused when one of these hangs", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const many = (name: string) => async (ids: string[]) =>
    name === "shard-1" ? new Promise<never>(() => {}) : ids.map((id) => ({ id }));
  const env = { SHARD_COUNT: "4", SHARD: { getByName: (name: string) => ({ many: many(name) }) } } as unknown as Env;
  const ids = Array.from({ length: 100 }, () => newPredictionId(4));
  const refusals: unknown[] = [];
  void getMany(env, ids, "account").catch((thrown: unknown) => refusals.push(thrown));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(refusals).toMatchObject([{ code: "unavailable", status: 503 }]);
});

test("a removal that does not come to its end says that it can be repeated", async () => {
  const removeData = () => Promise.reject(new Error("not done within 10000 ms"));
  const env = { SHARD_COUNT: "1", SHARD: { getByName: () => ({ removeData }) } } as unknown as Env;
  const removed = removePredictionData(env, newPredictionId(1), "account");
  await expect(removed).rejects.toMatchObject({ code: "unavailable", status: 503 });
});

test("a stream beyond the account's bound is refused with its code", async () => {
  const env = { SHARD_COUNT: "1", ACCOUNT_STREAMS: "7", SHARD: { getByName: () => ({ stream: async () => "own" }) } };
  const opened = openStream(env as unknown as Env, newPredictionId(1), "account", -1);
  await expect(opened).rejects.toMatchObject({ code: "too_many_streams", status: 429 });
  await expect(opened).rejects.toThrow("7 streams");
});

test("a submission is alone while its isolate knows of no other that has no answer", async () => {
  const lone: boolean[] = [];
  const stub = {
    async submit(_submission: unknown, _waitMs: number, isLone: boolean) {
      lone.push(isLone);
      await Promise.resolve();
      return { outcome: "conflict" };
    },
  };
  const env = { SHARD_COUNT: "1", SHARD: { getByName: () => stub } } as unknown as Env;
  const one = () => submit(env, submission(newPredictionId(1)), 0);
  await one();
  await one();
  await Promise.all([one(), one(), one()]);
  await one();
  expect(lone).toEqual([true, true, true, false, false, true]);
});

test("a submission whose client left while it was held is no company for those after it", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const lone: boolean[] = [];
  const stub = {
    async submit(_submission: unknown, waitMs: number, isLone: boolean) {
      lone.push(isLone);
      // The runtime ends a call whose client has left: nothing of it runs any more.
      if (waitMs > 0) await new Promise(() => {});
      return { outcome: "conflict" };
    },
  };
  const env = { SHARD_COUNT: "1", SHARD: { getByName: () => stub } } as unknown as Env;
  void submit(env, submission(newPredictionId(1)), 60_000);
  await submit(env, submission(newPredictionId(1)), 0);
  vi.advanceTimersByTime(1000);
  await submit(env, submission(newPredictionId(1)), 0);
  expect(lone).toEqual([true, false, true]);
});

test("what attempts took goes to their shards; an older or slow shard is told later, what is of no prediction never", async () => {
  const usage = { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 };
  const reportOf = (id: string): UsageReport => ({ id, token: `of ${id}`, attempt: 1, outcome: "bisected", usage });
  const shards: Record<string, object> = {
    "shard-0": {
      deliver: async (_events: unknown, _session: string, _lanes: string[], reports: UsageReport[]) => ({
        usage: reports.map(({ token, attempt }) => ({ token, attempt, verdict: "ok" })),
      }),
    },
    "shard-1": { deliver: async () => ({ verdicts: [], cancel: [] }) },
    "shard-2": { deliver: () => Promise.reject(new Error("it is away")) },
  };
  const getByName = (name: string) => shards[name];
  const env = { SHARD_COUNT: "3", SHARD: { getByName } } as unknown as Env;
  const idOf = (shard: number): string => {
    const id = newPredictionId(3);
    return shardOf(id) === shard ? id : idOf(shard);
  };
  const ids = [idOf(0), idOf(1), idOf(2), "no-prediction"];
  const told = await reportUsage(env, ids.map(reportOf), { session: "session", lanes: ["default"] });
  const verdicts = new Map(told.map(({ token, verdict }) => [token, verdict]));
  expect(ids.map((id) => verdicts.get(`of ${id}`))).toEqual(["ok", "later", "later", "ok"]);
});

test("events of a pool whose session hangs are delivered all the same", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const delivered: string[] = [];
  const shard = {
    deliver: async (events: { id: string }[]) => {
      delivered.push(...events.map(({ id }) => id));
      return { verdicts: [], cancel: [] };
    },
  };
  const env = {
    SHARD_COUNT: "1",
    SHARD: { getByName: () => shard },
    POOL: { getByName: () => ({ touch: () => new Promise(() => {}) }) },
  } as unknown as Env;
  const scope = { lanes: ["default"], poolTokenId: "pool" };
  const id = newPredictionId(1);
  const event = { id, token: "token", seq: 0, type: "succeeded", output: 1 } as const;
  const delivering = deliverEvents(env, { session: "session", heartbeat: true, events: [event] }, scope);
  await vi.advanceTimersByTimeAsync(1000);
  expect(delivered).toEqual([id]);
  await delivering;
});
