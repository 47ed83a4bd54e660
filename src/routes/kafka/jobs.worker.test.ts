/** Job topics on the embedded log: their lanes serve them to pools, granted; others look at what waits. */
import { beforeAll, expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { GrantSchema } from "../../contract/claim.ts";
import { JobSchema } from "../../contract/job.ts";
import { Lane } from "../../lane/lane.ts";

const VERSION = "c".repeat(64);
const USER = [{ username: "reader", password: "reader-password", produce: [""], consume: [""], create: true }];
const env = { KAFKA_USERS: JSON.stringify(USER) };
let key = "";

type Record_ = { topic: string; key: string; value: string; headers: { key: string; value: string }[] };

beforeAll(async () => {
  key = await newKey("poller");
});

/** A lane of its own with `count` waiting predictions. */
async function queue(lane: string, count: number): Promise<{ pool: FakePool; ids: string[] }> {
  const pool = await FakePool.open([lane]);
  const headers = { upgrade: "websocket", "edgeplane-session": pool.session };
  (await call("/pool/v1/connect", { key: pool.key, headers })).webSocket?.accept();
  await offer({ name: lane, version: VERSION, lane });
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const { body } = await callJson(`/v1/models/acme/${lane}/predictions`, {
      key,
      body: { input: { text: `t${index}` } },
    });
    ids.push(String(body["id"]));
  }
  await expect.poll(async () => (await testEnv.LANE.getByName(lane).stats()).waiting.normal).toBe(count);
  return { pool, ids };
}

const topicsOf = (lane: string) => ["high", "normal", "low"].map((priority) => `jobs.${lane}.${priority}`);
const basic = (user: string, password: string) => `Basic ${btoa(`${user}:${password}`)}`;

async function poll(pool: FakePool, lane: string, rooms: unknown, session = pool.session, timeout = 10_000) {
  return callJson("/kafka/consume/lane.x/instance", {
    headers: {
      authorization: basic("pool", pool.key),
      "edgeplane-session": session,
      "edgeplane-model-room": typeof rooms === "string" ? rooms : JSON.stringify(rooms),
    },
    body: { topics: topicsOf(lane), timeout },
  });
}

async function asUser(path: string, body: unknown) {
  return callJson(path, { headers: { authorization: basic("reader", "reader-password") }, body, env });
}

it("gives a pool the oldest that it has room for, granted, and counts the starts that it begins at once", async () => {
  const { pool, ids } = await queue("polled", 4);
  const first = (await poll(pool, "polled", [["acme/polled", VERSION, 3, 2]])).body as unknown as Record_[];
  expect(first.map((record) => record.key)).toEqual(ids.slice(0, 3));
  const grants = first.map(({ headers }) => {
    const answer: unknown = JSON.parse(headers.find((header) => header.key === "edgeplane-claim")?.value ?? "");
    return GrantSchema.parse(answer);
  });
  expect(grants.map(({ verdict, startNow }) => [verdict, startNow])).toEqual([
    ["granted", true],
    ["granted", true],
    ["granted", false],
  ]);
  expect(grants[0]?.input).toEqual({ text: "t0" });
  const job = JobSchema.parse(JSON.parse(first[0]?.value ?? ""));
  expect(job).toMatchObject({ id: ids[0], lane: "polled", model: "acme/polled" });
  // Ids are random, and may have these two letters.
  expect(JSON.stringify(job)).not.toContain('"t0"');
  const rest = (await poll(pool, "polled", [["acme/polled", VERSION, 3, 0]])).body as unknown as Record_[];
  expect(rest.map((record) => record.key)).toEqual(ids.slice(3));
  await expect.poll(async () => (await testEnv.LANE.getByName("polled").stats()).waiting.normal).toBe(0);
});

it("gives nothing to a pool without room for what waits, and answers at once", async () => {
  const { pool } = await queue("other-model", 1);
  // It may wait for longer than this test may take.
  const polled = await poll(pool, "other-model", [["acme/another", VERSION, 3, 3]], pool.session, 300_000);
  expect(polled.body).toEqual([]);
});

it("goes on to what waits behind jobs that wait no longer, of which the lane hasn't heard", async () => {
  const { pool, ids } = await queue("canceled", 3);
  const deaf = vi.spyOn(Lane.prototype, "exchange").mockImplementation(() => {
    throw new Error("the lane is away");
  });
  await callJson(`/v1/predictions/${ids[0]}/cancel`, { key, method: "POST" });
  const polled = (await poll(pool, "canceled", [["acme/canceled", VERSION, 1, 1]])).body as unknown as Record_[];
  deaf.mockRestore();
  expect(polled.map((record) => record.key)).toEqual([ids[1]]);
});

it("lets two pools take each job once", async () => {
  const { pool, ids } = await queue("shared", 6);
  const rooms = [["acme/shared", VERSION, 4, 4]];
  const polls = await Promise.all([
    poll(pool, "shared", rooms),
    poll(pool, "shared", rooms, `session-${crypto.randomUUID()}`),
  ]);
  const taken = polls.flatMap(({ body }) => (body as unknown as Record_[]).map((record) => record.key));
  expect(taken.toSorted()).toEqual(ids.toSorted());
});

it("shows others what waits, without its input, and lets them take nothing", async () => {
  const { ids } = await queue("watched", 3);
  const { body } = await asUser("/kafka/fetch", { topic: "jobs.watched.normal", partition: 0, offset: 1 });
  const seen = body as unknown as Record_[];
  expect(seen.map((record) => record.key)).toEqual(ids.slice(1));
  expect(JSON.stringify(seen)).not.toContain('"t1"');
  const refused = await asUser("/kafka/consume/g/i", { topics: topicsOf("watched") });
  expect(refused).toMatchObject({ status: 403, body: { code: "topic_forbidden" } });
  expect(String(refused.body["error"])).toContain("/fetch");
  expect((await asUser("/kafka/produce", { topic: "jobs.watched.normal", value: "{}" })).body).toMatchObject({
    code: "topic_forbidden",
  });
});

it.each(["", "{", "[[1]]", '[["acme/m", "v", -1, 0]]'])("says what is wrong with the room %j", async (rooms) => {
  const pool = await FakePool.open(["roomless"]);
  const { status, body } = await poll(pool, "roomless", rooms);
  expect([status, body["code"]]).toEqual([400, "invalid_request"]);
  expect(String(body["error"])).toContain("edgeplane-model-room");
});

it("wants a session, and job topics in calls of their own", async () => {
  const pool = await FakePool.open(["alone"]);
  expect((await poll(pool, "alone", [], "x")).status).toBe(400);
  const mixed = await asUser("/kafka/fetch", {
    topicPartitionOffsets: [
      { topic: "jobs.alone.low", partition: 0, offset: 0 },
      { topic: "results", partition: 0, offset: 0 },
    ],
  });
  expect(mixed).toMatchObject({ status: 400, body: { code: "invalid_request" } });
});

it("takes a pool's commits as done: what it polled was granted then", async () => {
  const pool = await FakePool.open(["committed"]);
  const headers = { authorization: basic("pool", pool.key) };
  const answer = await call("/kafka/commit/lane.committed/i", {
    headers,
    body: [{ topic: "jobs.committed.low", partition: 0, offset: 5 }],
  });
  expect(answer.status).toBe(200);
});

it("lets a pool do nothing but consume the job topics of its lanes: no group, topic or instance comes of it", async () => {
  const pool = await FakePool.open(["bounded"]);
  const headers = { authorization: basic("pool", pool.key), "edgeplane-session": pool.session };
  const place = { topic: "jobs.bounded.low", partition: 0, offset: 0 };
  const refused: [path: string, body: unknown][] = [
    ["/kafka/consume/g/i", { topic: "jobs.dlq" }],
    ["/kafka/consume/g/i", { topic: "jobs.other.low" }],
    ["/kafka/consume/g/i", { topic: "results" }],
    ["/kafka/commit/g/i", [{ ...place, topic: "results" }]],
    ["/kafka/commit/g/i", [{ ...place, topic: "jobs.dlq" }]],
    ["/kafka/committed/g/i", [place]],
    ["/kafka/offsets/earliest", [place]],
    ["/kafka/fetch", place],
    ["/kafka/produce", [{ topic: "jobs.bounded.low", value: "x" }]],
    ["/kafka/webhook?topic=jobs.bounded.low", "x"],
    ["/kafka/topics", undefined],
    ["/kafka/consumers", undefined],
  ];
  for (const [path, body] of refused) {
    const answer = await call(path, { headers, body, env });
    expect([path, body, answer.status]).toEqual([path, body, 403]);
  }
  for (const path of ["/kafka/commit/g/i", "/kafka/delete-consumer/g/i"]) {
    expect((await call(path, { method: "POST", headers, env })).status).toBe(200);
  }
  const groups = (await asUser("/kafka/consumers", undefined)).body as unknown as { name: string }[];
  expect(groups.map(({ name }) => name)).not.toContain("g");
  expect(Object.keys((await asUser("/kafka/topics", undefined)).body)).not.toContain("jobs.bounded.low");
});
