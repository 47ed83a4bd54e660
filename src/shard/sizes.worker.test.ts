/** What is too large for a row of SQLite in an object, or can't be handled, harms its own prediction only. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId, shardName, shardOf } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { claimJobs, deliverEvents, getPrediction, openStream, submit } from "./client.ts";
import type { Submission } from "./types.ts";

const edge = env as Env;
const SESSION = "session-under-test";
const LANES = { lanes: ["default"] };

/** Predictions of one shard that run, and what sends their pool's events in one request. */
async function running(count: number, overrides: Partial<Submission> = {}) {
  const ids = [newPredictionId(16)];
  while (ids.length < count) {
    const id = newPredictionId(16);
    if (shardOf(id) === shardOf(ids[0] ?? "")) ids.push(id);
  }
  for (const id of ids) await submit(edge, { ...submission(id), ...overrides }, 0);
  const jobs = ids.map((id) => ({ id, startNow: true }));
  const claims = await claimJobs(edge, { session: SESSION, jobs }, LANES);
  const tokens = new Map(
    claims.flatMap((claim) => (claim.verdict === "granted" ? [[claim.id, claim.token] as const] : [])),
  );
  const send = async (...events: Record<string, unknown>[]) => {
    const complete = events.map(
      (event) => ({ token: tokens.get(String(event["id"])) ?? "", ...event }) as unknown as PoolEvent,
    );
    const request = { session: SESSION, events: complete };
    const { verdicts } = await deliverEvents(edge, request, { ...LANES, poolTokenId: "pool" });
    return Object.fromEntries(verdicts.map(({ id, verdict }) => [id, verdict]));
  };
  return { ids, send, stub: edge.SHARD.getByName(shardName(shardOf(ids[0] ?? ""))) };
}

const read = (id: string) => getPrediction(edge, id, "account", 0);

it("fails a prediction whose chunk no row takes, and stores what else the request brought", async () => {
  const { ids, send } = await running(2, { stream: true });
  const [large = "", other = ""] = ids;
  const verdicts = await send(
    { id: large, seq: 0, type: "output", chunk: "x".repeat(9_000_000) },
    { id: other, seq: 0, type: "succeeded", output: "done" },
  );
  expect(verdicts).toEqual({ [large]: "ok", [other]: "ok" });
  expect(await send({ id: large, seq: 1, type: "output", chunk: "more" })).toEqual({ [large]: "stale" });
  expect(await read(other)).toMatchObject({ status: "succeeded", output: "done" });
  const { error } = (await read(large)) ?? {};
  expect(error).toMatchObject({ code: "model_error", message: expect.stringContaining("1.5 MB") as string });
});

it("stores logs that gathered while the edge was away, and an end with much to say", async () => {
  const { ids, send } = await running(1);
  const [id = ""] = ids;
  const text = `${"line\n".repeat(1_900_000)}last`;
  expect(await send({ id, seq: 0, type: "log", text })).toEqual({ [id]: "ok" });
  const metrics = { note: "x".repeat(3_000_000), count: 3 };
  const error = { code: "model_error", message: "y".repeat(3_000_000) };
  expect(await send({ id, seq: 1, type: "failed", kind: "model", error, metrics })).toEqual({ [id]: "ok" });
  const prediction = await read(id);
  expect(prediction).toMatchObject({ status: "failed", metrics: { count: 3 } });
  expect(prediction?.logs).toHaveLength(256 * 1024);
  expect(prediction?.logs.endsWith("last")).toBe(true);
});

it("ends a run that yielded more than a row takes; its stream has all of it", async () => {
  const { ids, send } = await running(1, { stream: true });
  const [id = ""] = ids;
  const chunks = Array.from({ length: 10 }, (_, seq) => ({ id, seq, type: "output", chunk: "x".repeat(300_000) }));
  const small = { id, seq: 10, type: "output", chunk: "small" };
  expect(await send({ ...small, seq: 0 }, ...chunks.map((event) => ({ ...event, seq: event.seq + 1 })))).toEqual({
    [id]: "ok",
  });
  expect(await read(id)).toMatchObject({ status: "processing", output: ["small"] });
  const error = { code: "model_error", message: "no" };
  expect(await send({ id, seq: 11, type: "failed", kind: "model", error })).toEqual({ [id]: "ok" });
  expect(await read(id)).toMatchObject({ status: "failed", output: ["small"] });
  let text = "";
  for (let after = -1; !text.includes('"completed"'); after = Number(/.*"seq":(\d+)/s.exec(text)?.[1])) {
    text += await new Response(await openStream(edge, id, "account", after)).text();
  }
  expect(text.match(/"type":"output"/g)).toHaveLength(11);
});

it("goes on with what is due when one row can't be handled", async () => {
  const { ids, send, stub } = await running(2);
  const [broken = "", other = ""] = ids;
  await send({ id: other, seq: 0, type: "log", text: "runs" });
  await runInDurableObject(stub, (_shard, { storage }) => {
    storage.sql.exec("UPDATE prediction SET fed = 1, changing = '{\"metrics\": 1', wake_at = 1 WHERE id = ?", broken);
    const isOver = "UPDATE prediction SET accepted = json_set(accepted, '$.endBy', 1), wake_at = 2 WHERE id = ?";
    storage.sql.exec(isOver, other);
  });
  await evictDurableObject(stub);
  await runDurableObjectAlarm(stub);
  await expect.poll(() => read(other)).toMatchObject({ status: "failed", error: { code: "timed_out" } });
});
