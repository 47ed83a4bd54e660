/** The marks that the runtime puts on its errors, and what a call does about them. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { submission } from "../test/unit/submission.ts";
import { newPredictionId, shardName, shardOf } from "./contract/ids.ts";
import type { Env } from "./env.ts";
import { callObject, objectNamed } from "./object-calls.ts";
import { submit, waitForPrediction } from "./shard/client.ts";

const edge = env as Env;

it("outlives the object that it waits at", async () => {
  const id = newPredictionId(16);
  await submit(edge, submission(id), 0);
  const shard = edge.SHARD.getByName(shardName(shardOf(id)));
  const waiting = waitForPrediction(edge, id, "account", 1500);
  await expect.poll(() => runInDurableObject(shard, ({ waiters }) => waiters.isAwaited(id))).toBe(true);
  await runInDurableObject(shard, (_shard, state) => state.abort("the object ends under the call")).catch(() => {});
  expect(await waiting).toMatchObject({ id, status: "starting" });
});

it("does not repeat what the object's own code throws", async () => {
  let calls = 0;
  const call = () => {
    calls += 1;
    // The platform limits what a call carries: 32 MiB.
    return objectNamed(edge.INDEX, "account").remove([{ id: "x".repeat(40 * 1024 * 1024), createdAt: 0 }]);
  };
  await expect(callObject(call)).rejects.toThrow("32MiB");
  expect(calls).toBe(1);
});
