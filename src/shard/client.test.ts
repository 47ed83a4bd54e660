import { expect, test } from "vitest";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { submission } from "../../test/unit/submission.ts";
import { getMany, openStream, submit } from "./client.ts";

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
