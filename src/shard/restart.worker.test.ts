/** What a shard goes on with that died, or was put out of memory, while something was pending. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import { leastIdOf, mintedAt, newPredictionId, shardName, shardOf } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { claimJobs, getPrediction, submit } from "./client.ts";
import { PredictionShard } from "./shard.ts";
import { webhookMessage } from "./webhook-message.ts";

const edge = env as Env;
const SESSION = "session-under-test";
const LANES = ["default"];
const shardOfId = (id: string) => edge.SHARD.getByName(shardName(shardOf(id)));

/** Ids of one shard. */
function idsTogether(count: number): string[] {
  const ids = [newPredictionId(16)];
  while (ids.length < count) {
    const id = newPredictionId(16);
    if (shardOf(id) === shardOf(ids[0] ?? "")) ids.push(id);
  }
  return ids;
}

it("hands over the webhooks that an earlier life of it left", async () => {
  const id = newPredictionId(16);
  await submit(edge, { ...submission(id), webhook: "https://hooks.test/left", webhookEvents: ["completed"] }, 0);
  const snapshot = await getPrediction(edge, id, "account", 0);
  if (snapshot === null) throw new Error("accepted and not there");
  await runInDurableObject(shardOfId(id), (_shard, state) => {
    const message = webhookMessage("completed", snapshot, Date.now());
    const { createdAt, webhookId } = message;
    state.storage.sql.exec(
      "INSERT INTO webhook_outbox VALUES (?, ?, ?)",
      createdAt,
      webhookId,
      JSON.stringify(message),
    );
  });
  await evictDurableObject(shardOfId(id));
  await getPrediction(edge, id, "account", 0);
  const left = () =>
    runInDurableObject(shardOfId(id), (_shard, { storage }) =>
      storage.sql.exec("SELECT * FROM webhook_outbox").toArray(),
    );
  await expect.poll(left).toEqual([]);
});

it("keeps the alarm of what is due soon, whatever comes first after it", async () => {
  const [ends = "", runs = ""] = idsTogether(2);
  for (const id of [ends, runs]) await submit(edge, submission(id), 0);
  const jobs = [ends, runs].map((id) => ({ id, startNow: true }));
  const claims = await claimJobs(edge, { session: SESSION, jobs }, { lanes: LANES });
  const token = claims.flatMap((claim) => (claim.verdict === "granted" && claim.id === ends ? claim.token : []))[0];
  const [stood, stands] = await runInDurableObject(shardOfId(ends), async (_before, state) => {
    const alarm = await state.storage.getAlarm();
    const reborn = new PredictionShard(state, { ...edge, PUBLISH_TOPICS: "" });
    // Behind what it does when it starts.
    await state.blockConcurrencyWhile(async () => {});
    const end = { id: ends, token: token ?? "", seq: 0, type: "succeeded", output: 1 } as const;
    expect(reborn.deliver([end], SESSION, LANES).verdicts).toMatchObject([{ verdict: "ok" }]);
    return [alarm, await state.storage.getAlarm()];
  });
  // The pool that holds the other one is asked about it then.
  expect(stood).toBeTypeOf("number");
  expect(stands).toBeLessThanOrEqual(stood ?? 0);
});

it("looks after what it granted as it accepted it, and had not listed as due", async () => {
  const id = newPredictionId(16);
  await submit(edge, { ...submission(id), keyed: false }, 0);
  const dueAt = () =>
    runInDurableObject(
      shardOfId(id),
      (_shard, { storage }) => storage.sql.exec("SELECT wake_at FROM prediction WHERE id = ?", id).one()["wake_at"],
    );
  await runInDurableObject(shardOfId(id), (_shard, { storage }) => {
    storage.sql.exec("UPDATE prediction SET wake_at = NULL WHERE id = ?", id);
    storage.sql.exec("INSERT OR REPLACE INTO unlisted VALUES (1, ?)", leastIdOf(id, mintedAt(id)));
  });
  expect(await dueAt()).toBeNull();
  await evictDurableObject(shardOfId(id));
  // It is listed as due at once, and its alarm then finds out when it is due.
  await expect.poll(async () => Number(await dueAt())).toBeGreaterThan(Date.now());
});
