/** What a deployment says of how its version runs: of its own predictions, and of all that run the version. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { admin, call, callJson, FakePool, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";
import { ConfigurationsSchema } from "../contract/model-configuration.ts";
import { Lane } from "../lane/lane.ts";
import { MAX_CONFIGURED } from "./configuration-column.ts";
import { readConfigurations } from "./model-configurations.ts";

const VERSION = "7".repeat(64);
const NEXT = "8".repeat(64);
let owner = "";
let guest = "";

beforeAll(async () => {
  owner = await newKey("tuner");
  guest = await newKey("guest");
  for (const version of [VERSION, NEXT])
    await offer({ owner: "tuner", name: "engine", version, startTimeoutMs: 60_000, totalTimeoutMs: 120_000 });
});

const make = (name: string, configuration: unknown, key = owner, version = VERSION) =>
  callJson("/v1/deployments", {
    key,
    body: {
      ...{ name, model: "tuner/engine", version, hardware: "cpu", min_instances: 0, max_instances: 1 },
      ...(configuration === undefined ? {} : { configuration }),
    },
  });
const change = (name: string, body: object, key = owner, account = "tuner") =>
  callJson(`/v1/deployments/${account}/${name}`, { method: "PATCH", key, body });
const drop = (name: string) => call(`/v1/deployments/tuner/${name}`, { method: "DELETE", key: owner });
const saidOf = (body: Record<string, unknown>) => body["current_release"] as Record<string, unknown>;

async function deadlines(path: string, key: string, body: object = {}): Promise<number[]> {
  const before = Date.now();
  const { body: made } = await callJson(`${path}/predictions`, { key, body: { input: {}, ...body } });
  const seconds = (name: string) => Math.round((Date.parse(String(made[name])) - before) / 1000);
  return [seconds("start_deadline"), seconds("deadline")];
}

describe("a deployment's configuration", () => {
  it("is shown beside what Replicate says of a release, changed as a whole, and taken back by null", async () => {
    const made = await make("shown", { startTimeoutMs: 5000 });
    expect(made.status).toBe(201);
    expect(saidOf(made.body)).toMatchObject({
      configuration: { hardware: "cpu", min_instances: 0, max_instances: 1 },
      edgeplane: { configuration: { startTimeoutMs: 5000 } },
    });
    const next = await change("shown", { configuration: { predictTimeoutMs: 7 } });
    expect(saidOf(next.body)).toMatchObject({ number: 2, edgeplane: { configuration: { predictTimeoutMs: 7 } } });
    const kept = await change("shown", { hardware: "gpu" });
    expect(saidOf(kept.body)).toMatchObject({ edgeplane: { configuration: { predictTimeoutMs: 7 } } });
    expect(saidOf((await change("shown", { configuration: null })).body)["edgeplane"]).toEqual({ configuration: null });
    expect(saidOf((await make("bare", undefined)).body)["edgeplane"]).toEqual({ configuration: null });
  });

  it("holds for what the deployment accepts, before the model's own, and behind what the client asks for", async () => {
    await make("quick", { startTimeoutMs: 4000, totalTimeoutMs: 8000 }, guest);
    await callJson("/v1/models/tuner/engine", {
      ...{ method: "PATCH", key: owner, body: { configuration: { startTimeoutMs: 30_000 } } },
    });
    expect(await deadlines("/v1/deployments/guest/quick", guest)).toEqual([4, 8]);
    expect(await deadlines("/v1/deployments/guest/quick", guest, { start_timeout: 2 })).toEqual([2, 8]);
    expect(await deadlines("/v1/models/tuner/engine", owner)).toEqual([30, 120]);
    await callJson("/v1/models/tuner/engine", { method: "PATCH", key: owner, body: { configuration: null } });
  });

  it("goes with its predictions to the pool: how long a run may take", async () => {
    await make("bounded", { predictTimeoutMs: 1234 }, guest);
    const pool = await FakePool.open();
    const grantOf = async (path: string) => {
      const { body } = await callJson(`${path}/predictions`, { key: guest, body: { input: {} } });
      return pool.claim(String(body["id"]));
    };
    expect((await grantOf("/v1/deployments/guest/bounded")).runLimitMs).toBe(1234);
    expect(await grantOf("/v1/models/tuner/engine")).not.toHaveProperty("runLimitMs");
  });

  it("says what concerns others only where the model is its account's", async () => {
    const refused = await make("greedy", { startTimeoutMs: 5000, maxBatchSize: 64 }, guest);
    expect([refused.status, refused.body["code"]]).toEqual([422, "invalid_input"]);
    expect(JSON.stringify(refused.body["invalid_fields"])).toMatch(
      /"configuration\.maxBatchSize".*only a deployment of the model's owner \(tuner\)/,
    );
    await make("modest", undefined, guest);
    expect((await change("modest", { configuration: { pinned: true } }, guest, "guest")).status).toBe(422);
  });

  it.each([
    [{ maxBatchSize: 0 }, "configuration.maxBatchSize"],
    [{ lane: "other" }, "lane"],
    ["fast", "configuration"],
  ])("refuses %j, and says where", async (configuration, field) => {
    const { status, body } = await make("bad", configuration);
    expect([status, body["code"]]).toEqual([422, "invalid_input"]);
    expect(JSON.stringify(body["invalid_fields"])).toContain(field);
  });

  it("doesn't disagree with another deployment of the version, which is named", async () => {
    expect((await make("one", { maxBatchSize: 4, pinned: true, startTimeoutMs: 5000 })).status).toBe(201);
    const other = await make("two", { maxBatchSize: 8 });
    expect([other.status, other.body["code"]]).toEqual([409, "conflict"]);
    expect(other.body["detail"]).toContain("tuner/one runs the same version and says maxBatchSize: 4, this one 8");
    expect((await make("two", { pinned: false })).body["detail"]).toContain("says pinned: true, this one false");
    // The same, something else, and what is its own may stand there; so may another version.
    expect((await make("two", { maxBatchSize: 4, maxQueueDelayMs: 9, startTimeoutMs: 9000 })).status).toBe(201);
    expect((await make("three", { maxBatchSize: 8 }, owner, NEXT)).status).toBe(201);
    for (const body of [{ version: VERSION }, { version: VERSION, configuration: { maxQueueDelayMs: 1 } }])
      expect((await change("three", body)).body["code"]).toBe("conflict");
    expect((await change("one", { configuration: { maxBatchSize: 8 } })).body["detail"]).toContain("tuner/two");
    expect((await change("three", { version: VERSION, configuration: null })).status).toBe(200);
    for (const name of ["one", "two", "three"]) await drop(name);
  });

  it("is told to pools of the owner by version, without what is the deployment's own, and at once", async () => {
    const { token } = (await admin("/pool-tokens", { name: "box", owners: ["tuner"] })) as { token: string };
    const told = async () => {
      const answer = await call("/pool/v1/configurations", { headers: { authorization: `Bearer ${token}` } });
      return ConfigurationsSchema.parse(await answer.json()).versions;
    };
    const nudge = vi.spyOn(Lane.prototype, "nudge");
    const nudged = () => nudge.mock.calls.filter(([, what]) => what === "configurations").length;
    await make("own", { startTimeoutMs: 5000 });
    await make("batches", { maxBatchSize: 4, startTimeoutMs: 5000 });
    await make("waits", { maxQueueDelayMs: 20 });
    expect(await told()).toEqual({ [`tuner/engine:${VERSION}`]: { maxBatchSize: 4, maxQueueDelayMs: 20 } });
    await expect.poll(nudged).toBe(2);
    await change("waits", { configuration: null });
    expect(await told()).toEqual({ [`tuner/engine:${VERSION}`]: { maxBatchSize: 4 } });
    await expect.poll(nudged).toBe(3);
    await drop("batches");
    expect(await told()).toEqual({});
    await expect.poll(nudged).toBe(4);
  });
});

it("reaches pools, however many deployments of other accounts say how their own predictions run", async () => {
  const version = "9".repeat(64);
  await offer({ owner: "tuner", name: "engine", version });
  const many = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MAX_CONFIGURED})
    INSERT INTO deployments SELECT a.id, printf('d-%d', i), 'tuner', 'engine', ?1, 'cpu', 0, 1, 1, 0, 0,
      '{"startTimeoutMs":60000}' FROM n, accounts a WHERE a.name = 'guest'`;
  await testEnv.DB.prepare(many).bind(VERSION).run();
  expect((await make("told", { maxBatchSize: 7 }, owner, version)).status).toBe(201);
  const { versions } = await readConfigurations(testEnv.DB, ["tuner"]);
  expect(versions[`tuner/engine:${version}`]).toEqual({ maxBatchSize: 7 });
});

it("reaches pools of several owners, however much another owner says", async () => {
  const version = "9".repeat(64);
  await newKey("wordy");
  const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MAX_CONFIGURED})`;
  await testEnv.DB.batch([
    testEnv.DB.prepare(
      `${numbers} INSERT INTO models (owner, name, description, created_at, updated_at, configuration)
         SELECT 'wordy', printf('m-%d', i), '', 0, 0, '{"maxBatchSize":2}' FROM n`,
    ),
    testEnv.DB.prepare(
      `${numbers} INSERT INTO deployments
         SELECT a.id, printf('d-%d', i), 'wordy', printf('m-%d', i), ?1, 'cpu', 0, 1, 1, 0, 0,
         '{"maxBatchSize":2}' FROM n, accounts a WHERE a.name = 'wordy'`,
    ).bind(version),
  ]);
  await callJson("/v1/models/tuner/engine", { method: "PATCH", key: owner, body: { configuration: { pinned: true } } });
  await make("heard", { maxBatchSize: 7 }, owner, version);
  const { configurations, versions } = await readConfigurations(testEnv.DB, ["wordy", "tuner"]);
  expect(Object.keys(configurations)).toHaveLength(MAX_CONFIGURED);
  expect(configurations["tuner/engine"]).toEqual({ pinned: true });
  expect(versions[`tuner/engine:${version}`]).toEqual({ maxBatchSize: 7 });
});
