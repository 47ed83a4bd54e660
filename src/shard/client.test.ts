import { expect, test } from "vitest";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { getMany } from "./client.ts";

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
