import { expect, it } from "vitest";
import { derivedPredictionId, isPredictionId, newPredictionId, shardOf } from "./ids.ts";

const SHARDS = 16;

it("mints ids of their shards, in the order of time, and no two alike", () => {
  const ids = Array.from({ length: 2000 }, (_, index) => newPredictionId(SHARDS, 1_700_000_000_000 + index));
  expect(new Set(ids).size).toBe(2000);
  expect(new Set(ids.map(shardOf)).size).toBe(SHARDS);
  for (const id of ids) expect(isPredictionId(id, SHARDS)).toBe(true);
  const times = ids.map((id) => id.slice(2, 11));
  expect(times.toSorted()).toEqual(times);
});

it("refuses what has another form, and the ids of shards that are not there", () => {
  expect(isPredictionId("", SHARDS)).toBe(false);
  expect(isPredictionId(newPredictionId(SHARDS).toUpperCase(), SHARDS)).toBe(false);
  expect(isPredictionId(`zz${newPredictionId(SHARDS).slice(2)}`, SHARDS)).toBe(false);
  expect(isPredictionId(`zz${newPredictionId(SHARDS).slice(2)}`, 1024)).toBe(true);
});

it("derives the same id from the same account and key, and another from any other", async () => {
  const secret = new TextEncoder().encode("secret");
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const id = await derivedPredictionId(key, "account", "key", SHARDS);
  expect(isPredictionId(id, SHARDS)).toBe(true);
  expect(await derivedPredictionId(key, "account", "key", SHARDS)).toBe(id);
  expect(await derivedPredictionId(key, "other", "key", SHARDS)).not.toBe(id);
  expect(await derivedPredictionId(key, "account", "other", SHARDS)).not.toBe(id);
});
