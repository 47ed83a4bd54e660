/** The shard as an object in workerd: waits, streams, and the way of one prediction through lane and log. */
import { env } from "cloudflare:workers";
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import type { Grant } from "../contract/claim.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId, shardName, shardOf } from "../contract/ids.ts";
import type { PredictionSnapshot } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import {
  cancelPrediction,
  claimJobs,
  deliverEvents,
  getPrediction,
  listPredictions,
  openStream,
  submit,
} from "./client.ts";
import { webhookDeliveries } from "../webhooks/client.ts";
import { PredictionShard } from "./shard.ts";
import type { StreamFrame, Submission } from "./types.ts";

const edge = env as Env;
const LANES = { lanes: ["default"] };
const anyOf = {
  direction: "older",
  createdAfter: null,
  createdBefore: null,
  model: null,
  version: null,
  deployment: null,
  source: null,
  status: null,
} as const;
const SESSION = "session-under-test";

function accept(overrides: Partial<Submission> = {}, waitMs = 0) {
  const id = newPredictionId(16);
  const answer = submit(edge, { ...submission(id), accountId: `account-${id}`, ...overrides }, waitMs);
  return { id, accountId: `account-${id}`, answer };
}

async function claim(id: string): Promise<Grant> {
  const [answer] = await claimJobs(edge, { session: SESSION, jobs: [{ id, startNow: true }] }, LANES);
  if (answer?.verdict !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
  return answer;
}

async function send(grant: Grant, ...events: Record<string, unknown>[]) {
  const { id, token } = grant;
  const numbered = events.map((event, index) => ({ id, token, seq: index, ...event }) as PoolEvent);
  return deliverEvents(edge, { session: SESSION, events: numbered }, { ...LANES, poolTokenId: "pool" });
}

async function readFrames(stream: ReadableStream<Uint8Array> | null): Promise<StreamFrame[]> {
  const text = await new Response(stream).text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as StreamFrame);
}

it("holds a submission until the prediction is finished", async () => {
  const { id, answer } = accept({}, 10_000);
  // The claim may come before the submission was stored: then there is nothing to grant yet.
  await expect.poll(() => getPrediction(edge, id, `account-${id}`, 0)).toMatchObject({ status: "starting" });
  await send(await claim(id), { type: "succeeded", output: "hello" });
  expect(await answer).toMatchObject({ outcome: "created", prediction: { status: "succeeded", output: "hello" } });
});

it("answers a held read at the next change, and an unchanged one when its time is over", async () => {
  const { id, accountId, answer } = accept();
  await answer;
  const startedAt = Date.now();
  expect(await getPrediction(edge, id, accountId, 50)).toMatchObject({
    status: "starting",
    // No pool serves its version: nobody can say.
    queue: { position: null, etaMs: null },
  });
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(45);
  const held = getPrediction(edge, id, accountId, 10_000);
  await claim(id);
  expect(await held).toMatchObject({ status: "processing" });
});

it("holds reads twice as long where many wait in vain, and still answers at a change", async () => {
  const { id, accountId, answer } = accept();
  await answer;
  await Promise.all(Array.from({ length: 50 }, () => getPrediction(edge, id, accountId, 20)));
  const startedAt = Date.now();
  expect(await getPrediction(edge, id, accountId, 100)).toMatchObject({ status: "starting" });
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(195);
  const held = getPrediction(edge, id, accountId, 10_000);
  await claim(id);
  expect(await held).toMatchObject({ status: "processing" });
});

it("has no reader left when those of a stream have left", async () => {
  const { id, accountId } = accept({ stream: true });
  const open = () => openStream(edge, id, accountId, -1);
  await expect.poll(open).not.toBeNull();
  const streams = await Promise.all([open(), open(), open()]);
  const readers = () =>
    runInDurableObject(edge.SHARD.getByName(shardName(shardOf(id))), (shard) => {
      if (!(shard instanceof PredictionShard)) throw new Error("a shard is a PredictionShard");
      shard.waiters.probe();
      return shard.waiters.readers();
    });
  expect(await readers()).toBeGreaterThanOrEqual(3);
  for (const stream of streams) {
    const reader = stream?.getReader();
    await reader?.read();
    await reader?.cancel();
  }
  await expect.poll(readers).toBeLessThanOrEqual(1);
});

it("cuts off a reader that takes nothing", async () => {
  const { id, accountId, answer } = accept({ stream: true });
  await answer;
  const grant = await claim(id);
  const object = edge.SHARD.getByName(shardName(shardOf(id)));
  const inShard = <T>(run: (shard: PredictionShard) => T) =>
    runInDurableObject(object, (shard) => {
      if (!(shard instanceof PredictionShard)) throw new Error("a shard is a PredictionShard");
      return run(shard);
    });
  const readers = () => inShard(({ waiters }) => waiters.readers());
  const before = await readers();
  const asleep = (await openStream(edge, id, accountId, -1))?.getReader();
  const chunk = "x".repeat(1_000_000);
  await send(grant, { type: "output", chunk }, { type: "output", chunk });
  expect(await readers()).toBe(before + 1);
  for (let count = 0; count < 8; count += 1) await inShard(({ waiters }) => waiters.probe());
  // One of an earlier test may have left meanwhile.
  await expect.poll(readers).toBeLessThanOrEqual(before);
  await asleep?.read();
  await expect(asleep?.read()).rejects.toThrow("disconnected prematurely");
});

it("streams frames as they come, ends with `completed`, and resumes after a seq", async () => {
  const { id, accountId, answer } = accept({ stream: true });
  await answer;
  const grant = await claim(id);
  const reading = openStream(edge, id, accountId, -1).then(readFrames);
  await send(grant, { type: "output", chunk: "a" }, { type: "log", text: "line\n" }, { type: "output", chunk: "b" });
  await send(grant, { seq: 3, type: "succeeded", output: ["a", "b"] });
  const frames = await reading;
  expect(frames.map(({ type }) => type)).toEqual(["start", "output", "log", "output", "completed"]);
  const again = await readFrames(await openStream(edge, id, accountId, 2));
  expect(again.map(({ seq, type }) => [seq, type])).toEqual([
    [3, "output"],
    [4, "completed"],
  ]);
});

it("shows nothing of a prediction to another account", async () => {
  const { id, answer } = accept();
  await answer;
  expect(await getPrediction(edge, id, "another", 0)).toBeNull();
  expect(await cancelPrediction(edge, id, "another")).toBeNull();
  expect(await openStream(edge, id, "another", 0)).toBeNull();
  const isShown = await runInDurableObject(
    edge.SHARD.getByName(shardName(shardOf(id))),
    (_shard, { storage }) =>
      storage.sql.exec("SELECT changing ->> 'shown' AS shown FROM prediction WHERE id = ?", id).one()["shown"] ?? 0,
  );
  expect(isShown).toBe(0);
});

it("answers a read that it may not hold, though the session that it asks for parked events hangs", async () => {
  const { id, accountId, answer } = accept();
  await answer;
  await claim(id);
  const read = await runInDurableObject(edge.SHARD.getByName(shardName(shardOf(id))), async (_before, state) => {
    let looks = 0;
    const look = () => ((looks += 1), new Promise(() => {}));
    const POOL = { getByName: () => ({ look }) } as unknown as Env["POOL"];
    const shard = new PredictionShard(state, { ...edge, KV_REST_URL: "https://redis.test", POOL });
    const shown = await shard.get(id, accountId, { holdMs: 0, placeMaxAgeMs: 1000 });
    return { looks, status: shown?.status };
  });
  expect(read).toEqual({ looks: 1, status: "processing" });
});

it("lists what an account has, newest first", async () => {
  const accountId = `lister-${newPredictionId(16)}`;
  const made: PredictionSnapshot[] = [];
  for (let index = 0; index < 5; index += 1) {
    const answer = await accept({ accountId }).answer;
    if (answer.outcome !== "created") throw new Error(`not accepted: ${answer.outcome}`);
    made.push(answer.prediction);
  }
  // Several may be of one millisecond: the id then says which comes first.
  const newestFirst = made.toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
  const ids = newestFirst.map(({ id }) => id);
  const page = () => listPredictions(edge, accountId, { ...anyOf, from: null, limit: 3 });
  await expect.poll(async () => (await page()).predictions.length).toBe(3);
  await expect.poll(async () => (await page()).predictions.map(({ id }) => id)).toEqual(ids.slice(0, 3));
  const first = await page();
  expect(first.more).toBe(true);
  const from = first.entries.at(-1) ?? null;
  const rest = await listPredictions(edge, accountId, { ...anyOf, from, limit: 3 });
  expect(rest.predictions.map(({ id }) => id)).toEqual(ids.slice(3));
});

it("sends webhooks of output that was stored on its beat, without waiting for anything else", async () => {
  const { id, answer } = accept({ webhook: "https://hooks.test/beat", webhookEvents: ["output"] });
  await answer;
  const grant = await claim(id);
  await send(grant, { type: "output", chunk: "a" });
  await send(grant, { seq: 1, type: "output", chunk: "b" });
  const stub = edge.SHARD.getByName(shardName(shardOf(id)));
  const alarmAt = await runInDurableObject(stub, async (_shard, { storage }) => {
    const at = await storage.getAlarm();
    await storage.deleteAlarm();
    return at;
  });
  await expect
    .poll(async () => (await webhookDeliveries(edge, "https://hooks.test/beat", id)).map(({ event }) => event))
    .toEqual(["output", "output"]);
  // It was taken away behind its back.
  await runInDurableObject(stub, (_shard, { storage }) => storage.setAlarm(alarmAt ?? Date.now()));
});

it("leaves an alarm behind whatever is pending", async () => {
  const { id, answer } = accept();
  await answer;
  const stub = edge.SHARD.getByName(shardName(shardOf(id)));
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  expect(await runDurableObjectAlarm(stub)).toBe(true);
});
