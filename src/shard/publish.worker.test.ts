/** What is published of ended predictions, through the embedded log, and how dead letters are replayed. */
import { env } from "cloudflare:workers";
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { beforeAll, expect, it, vi } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import { callJson, FakePool, testEnv } from "../../test/worker/edge-harness.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { newPredictionId, shardName, shardOf } from "../contract/ids.ts";
import { DeadLetterRecordSchema, ResultRecordSchema } from "../contract/published.ts";
import type { Env } from "../env.ts";
import { UsageEventSchema } from "../metering/cloud-event.ts";
import { LogBroker } from "../log/broker.ts";
import { createLogClient } from "../log/client.ts";
import { brokerName } from "../log/names.ts";
import type { LogFaults } from "../log/protocol.ts";
import { cancelPrediction, getPrediction, submit } from "./client.ts";
import { replayDeadLetter } from "./replay.ts";
import type { ChargeReplay } from "./replay.ts";
import type { Submission } from "./types.ts";

const edge = env as Env;
const log = createLogClient(edge);
const on = { PUBLISH_TOPICS: "results, usage, jobs.dlq" };
const ADMIN = testEnv.ADMIN_KEY ?? "";
let pool: FakePool;

beforeAll(async () => {
  pool = await FakePool.open();
});

async function accept(overrides: Partial<Submission> = {}): Promise<string> {
  const id = newPredictionId(16);
  await submit(edge, { ...submission(id), accountId: "acme", ...overrides }, 0);
  return id;
}

/** What the topic holds of `id`, oldest first. */
async function recordsOf(topic: string, id: string) {
  const known = (await log.topics())[topic] ?? 0;
  if (known === 0) return [];
  const records = await log.fetch(
    Array.from({ length: known }, (_, partition) => ({ topic, partition, offset: 0 })),
    0,
  );
  return records.filter(({ key }) => key === id || key.startsWith(`${id}.`));
}

async function only(topic: string, id: string) {
  await expect.poll(async () => (await recordsOf(topic, id)).length).toBe(1);
  const [record] = await recordsOf(topic, id);
  if (record === undefined) throw new Error("it was there");
  const value: unknown = JSON.parse(record.value);
  return { key: record.key, value, headers: record.headers };
}

it("publishes results and usage of a prediction that succeeded, without its input or output", async () => {
  const id = await accept({ input: { prompt: "a secret of the tenant" } });
  const metrics = { predict_time: 0.25, input_token_count: 7, output_token_count: 9, note: "a secret too" };
  const used = { device: "cpu", queuedMs: 1, runMs: 5, gpuUs: 4321, units: { output_token_count: 9 } };
  await pool.send(await pool.claim(id), { type: "succeeded", output: "the secret's answer", metrics, usage: used });
  const result = await only("results", id);
  expect(ResultRecordSchema.parse(result.value)).toMatchObject({
    ...{ id, account: "acme", status: "succeeded", errorCode: null, attempt: 1, replayOf: null },
    metrics: { predict_time: 0.25, input_token_count: 7 },
  });
  const usage = await only("usage", id);
  expect(UsageEventSchema.parse(usage.value)).toMatchObject({
    ...{ id: `${id}.1`, source: "urn:edgeplane:usage:acme", subject: "acme", type: "edgeplane.usage.attempt" },
    data: { ...used, id: `${id}.1`, prediction: id, account: "acme", outcome: "succeeded", billed: true, flags: [] },
  });
  expect(usage.key).toBe(`${id}.1`);
  expect(usage.headers).toContainEqual({ key: "content-type", value: "application/cloudevents+json" });
  expect(JSON.stringify([result, usage])).not.toContain("secret");
  expect(await recordsOf("jobs.dlq", id)).toEqual([]);
});

it("publishes a dead letter with its reason and without its account, and replays it once", async () => {
  const id = await accept({ startTimeoutMs: 1, input: { prompt: "again" } });
  await expect.poll(async () => (await getPrediction(edge, id, "acme", 0))?.status).toBe("aborted");
  const dead = await only("jobs.dlq", id);
  expect(DeadLetterRecordSchema.parse(dead.value)).toMatchObject({ id, reason: "deadline_before_start", attempt: 0 });
  expect(dead.headers).toContainEqual({ key: "reason", value: "deadline_before_start" });
  expect(JSON.stringify(dead)).not.toContain('acme"');
  expect(await recordsOf("usage", id)).toEqual([]);

  const list = await callJson("/admin/v1/dead-letters?reason=deadline_before_start", { key: ADMIN, env: on });
  expect(list.body["results"]).toContainEqual(expect.objectContaining({ id, replayed_as: null }));
  const model = "acme/echo";
  const first = await callJson("/admin/v1/dead-letters/replay", { key: ADMIN, env: on, body: { ids: [id] } });
  const [replay] = first.body["results"] as { outcome: string; replayed_as: string }[];
  expect(replay?.outcome).toBe("created");
  expect(await getPrediction(edge, replay?.replayed_as ?? "", "acme", 0)).toMatchObject({
    ...{ replayOf: id, input: { prompt: "again" } },
  });
  const again = await callJson("/admin/v1/dead-letters/replay", { key: ADMIN, env: on, body: { ids: [id] } });
  expect(again.body["results"]).toEqual([{ id, outcome: "existing", replayed_as: replay?.replayed_as }]);
  const rest = await callJson("/admin/v1/dead-letters/replay", { key: ADMIN, env: on, body: { model } });
  expect(JSON.stringify(rest.body["results"])).not.toContain(id);
});

it("replays what its operator names by model and time, large inputs too", async () => {
  const name = `m${crypto.randomUUID().slice(0, 8)}`;
  const from = new Date().toISOString();
  const id = newPredictionId(16);
  const inputBlob = `predictions/${id}/input`;
  await edge.BLOBS.put(inputBlob, JSON.stringify({ prompt: "large" }));
  const model = { owner: "acme", name, version: "a".repeat(64) };
  await submit(edge, { ...submission(id), accountId: "acme", model, input: null, inputBlob, startTimeoutMs: 1 }, 0);
  await only("jobs.dlq", id);
  const body = { model: `acme/${name}`, from };
  const { body: answer } = await callJson("/admin/v1/dead-letters/replay", { key: ADMIN, env: on, body });
  const [replay] = answer["results"] as { replayed_as: string }[];
  const made = await getPrediction(edge, replay?.replayed_as ?? "", "acme", 0);
  expect(made?.inputBlob).toBe(`predictions/${replay?.replayed_as}/input`);
  expect(await (await edge.BLOBS.get(made?.inputBlob ?? ""))?.json()).toEqual({ prompt: "large" });
});

const uncharged: ChargeReplay = () => Promise.resolve({ submission: {}, undo: () => {} });

it("refuses to replay what is unknown, unfinished or answered by its model", async () => {
  const waiting = await accept();
  const answered = await accept();
  await pool.run(answered, "well");
  expect(await replayDeadLetter(edge, waiting, uncharged)).toEqual({ id: waiting, outcome: "not_dead" });
  expect(await replayDeadLetter(edge, answered, uncharged)).toEqual({ id: answered, outcome: "not_dead" });
  expect(await replayDeadLetter(edge, newPredictionId(16), uncharged)).toMatchObject({ outcome: "unknown" });
  expect(await replayDeadLetter(edge, "no id", uncharged)).toEqual({ id: "no id", outcome: "unknown" });
});

it("refuses a replay that its account's queue has no room for, and gives back what it had reserved", async () => {
  const id = newPredictionId(16);
  const replayable = () => Promise.resolve({ input: submission(id), reason: null });
  const shard = { replayable, submit: () => Promise.resolve({ outcome: "full", limit: 3 }) };
  const full = { ...edge, SHARD: { getByName: () => shard } as unknown as Env["SHARD"] };
  const undo = vi.fn<() => void>();
  const replay = await replayDeadLetter(full, id, () => Promise.resolve({ submission: {}, undo }));
  expect(replay).toMatchObject({ id, outcome: "refused", code: "queue_full" });
  expect(undo).toHaveBeenCalledOnce();
});

it("copies no input of a replay that is refused, and charges none whose input is gone", async () => {
  const id = newPredictionId(16);
  const from = `predictions/${id}/input`;
  const replayable = () => Promise.resolve({ input: { ...submission(id), inputBlob: from }, reason: null });
  // Its replay is looked for, and was never accepted.
  const shard = { replayable, isAccepted: () => Promise.resolve(false) };
  const world = { ...edge, SHARD: { getByName: () => shard } as unknown as Env["SHARD"] };
  await edge.BLOBS.put(from, "1");
  const copied = vi.spyOn(edge.BLOBS, "put");
  const spent = () => Promise.reject(new EdgeplaneError("budget_spent", "nothing is left"));
  expect(await replayDeadLetter(world, id, spent)).toMatchObject({ outcome: "refused", code: "budget_spent" });
  expect(copied).not.toHaveBeenCalled();
  copied.mockRestore();
  await edge.BLOBS.delete(from);
  const undo = vi.fn<() => void>();
  const charge = () => Promise.resolve({ submission: {}, undo });
  expect(await replayDeadLetter(world, id, charge)).toEqual({ id, outcome: "data_removed" });
  expect(undo).toHaveBeenCalledOnce();
});

it("says what a replay lacks", async () => {
  const path = "/admin/v1/dead-letters/replay";
  expect((await callJson(path, { key: ADMIN, env: on, body: {} })).status).toBe(422);
  expect((await callJson(path, { key: ADMIN, env: on, body: { ids: ["a"], model: "a/b" } })).status).toBe(422);
  const off = await callJson("/admin/v1/dead-letters", { key: ADMIN, env: { PUBLISH_TOPICS: "" } });
  expect(off).toMatchObject({ status: 400, body: { code: "invalid_request" } });
  expect((await callJson("/admin/v1/dead-letters", { env: on })).status).toBe(401);
});

it("publishes what a run used that outlived its prediction", async () => {
  const id = await accept();
  const grant = await pool.claim(id);
  await cancelPrediction(edge, id, "acme");
  const used = { device: "cpu", queuedMs: 0, runMs: 3, gpuUs: 3000 };
  await pool.send(grant, { type: "succeeded", output: "late", metrics: { predict_time: 3.5 }, usage: used });
  const usage = await only("usage", id);
  expect(UsageEventSchema.parse(usage.value).data).toMatchObject({
    ...{ id: `${id}.1`, outcome: "canceled", billed: true, gpuUs: 3000 },
  });
  expect(await getPrediction(edge, id, "acme", 0)).toMatchObject({ status: "canceled", output: null });
});

/** What the shard of `id` has noted about ends that are not published. */
async function marksOf(id: string) {
  const stub = edge.SHARD.getByName(shardName(shardOf(id)));
  return runInDurableObject(stub, (_shard, state) =>
    state.storage.sql.exec("SELECT pending FROM ended_mark").toArray(),
  );
}

it("keeps what the log does not take until it does", async () => {
  const stub = edge.LOG.getByName(brokerName(0));
  const setFaults = async (faults: LogFaults) =>
    runInDurableObject(stub, (broker) => {
      Object.defineProperty(broker, "env", { value: { ...edge, LOCAL_FAULTS: "1" }, configurable: true });
      expect(broker.setFaults(faults)).toMatchObject({ ok: true });
    });
  const id = await accept();
  const grant = await pool.claim(id);
  const produce = vi.spyOn(LogBroker.prototype, "produce");
  await setFaults({ refuseProduceUntil: Infinity });
  await pool.send(grant, { type: "succeeded", output: "well", metrics: { predict_time: 0.5 } });
  const refusals = () => produce.mock.results.filter(({ type, value }) => type === "return" && !value.ok);
  await expect.poll(() => refusals().length).toBeGreaterThan(0);
  produce.mockRestore();
  expect([await recordsOf("results", id), await recordsOf("usage", id)]).toEqual([[], []]);
  expect(await marksOf(id)).toEqual([{ pending: 1 }]);
  await setFaults({});
  expect((await only("results", id)).key).toBe(id);
  expect((await only("usage", id)).value).toMatchObject({ data: { id: `${id}.1` } });
});

it("clears the marks once everything is out", async () => {
  const id = await accept();
  await pool.run(id, "well");
  await only("results", id);
  await only("usage", id);
  await expect.poll(async () => marksOf(id)).toEqual([{ pending: 0 }]);
  const stub = edge.SHARD.getByName(shardName(shardOf(id)));
  await expect
    .poll(async () => {
      await runDurableObjectAlarm(stub);
      return runInDurableObject(stub, (_shard, state) =>
        state.storage.sql.exec("SELECT pending FROM usage_mark").toArray(),
      );
    })
    .toEqual([{ pending: 0 }]);
});
