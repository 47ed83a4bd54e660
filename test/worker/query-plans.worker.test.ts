/**
 * No query of D1 on the path of a prediction goes through a whole table, so that what others store makes nobody's
 * predictions slower. The calls below are all that a client and a pool make for one; the objects' own calls of D1 are
 * made by themselves, with the same functions.
 */
import { beforeAll, expect, test } from "vitest";
import { PROTOCOL } from "../../src/contract/channel.ts";
import type { Env } from "../../src/env.ts";
import { currentLog } from "../../src/log/current-log.ts";
import { sweepBundles } from "../../src/registry/bundles.ts";
import { sweepChunks } from "../../src/registry/chunks.ts";
import { recordDeadLetters } from "../../src/registry/dead-letters.ts";
import { sweepEnvironmentLayers } from "../../src/registry/environment-layers.ts";
import { registerDevices } from "../../src/registry/devices.ts";
import { readConfigurations } from "../../src/registry/model-configurations.ts";
import { lanesOf } from "../../src/registry/models.ts";
import { notePool, notePoolState } from "../../src/registry/pools.ts";
import { identifyPool, isPoolTokenValid } from "../../src/registry/pool-tokens.ts";
import { registerManifests } from "../../src/registry/registration.ts";
import { recordRuns } from "../../src/registry/runs.ts";
import { deletePredictionBlobs, deleteStrayOutputs } from "../../src/storage/blobs.ts";
import { currentWebhookSecret, rotateWebhookSecret, webhookSecrets } from "../../src/webhooks/secrets.ts";
import { admin, call, callJson, FakePool, newKey, offer, testEnv } from "./edge-harness.ts";
import { createNotedDb, scansOf } from "./noted-db.ts";
import { bundleOf } from "./pushing.ts";

const VERSION = "2".repeat(64);
const input = { text: "x" };

let key = "";
let pool: FakePool;
beforeAll(async () => {
  key = await newKey("planner");
  pool = await FakePool.open();
  await offer({ owner: "planner", name: "planned", version: VERSION });
  const deployment = { name: "d", model: "planner/planned", version: VERSION, hardware: "cpu" };
  await callJson("/v1/deployments", { key, body: { ...deployment, min_instances: 0, max_instances: 1 } });
});

let noted: ReturnType<typeof createNotedDb>;
let env: Env;
/** Another database to the isolate, which remembers nothing of it: what is asked once in a while is asked now. */
function anew(): void {
  noted = createNotedDb(testEnv.DB);
  env = { ...testEnv, DB: noted.db };
}

/** What was asked since `anew`, and goes through a table. */
async function scanning(): Promise<{ query: string; scans: string[] }[]> {
  expect(noted.noted.size).toBeGreaterThan(0);
  const asked = [...noted.noted.values()];
  const found = await Promise.all(
    asked.map(async (note) => ({ query: note.query, scans: await scansOf(testEnv.DB, note) })),
  );
  return found.filter(({ scans }) => scans.length > 0);
}

test("none that a client's calls make", async () => {
  anew();
  const fresh = await newKey("planner");
  const own = { key: fresh, env };
  await offer({ owner: "planner", name: "fresh", version: "3".repeat(64) });
  const created = async (path: string, body: object, headers: Record<string, string> = {}) => {
    const answer = await callJson(path, { ...own, headers, body: { input, ...body } });
    expect([path, answer.status]).toEqual([path, 201]);
    return String(answer.body["id"]);
  };
  const id = await created("/v1/predictions", { version: "3".repeat(64), webhook: "https://receiver.example.com/" });
  await created("/v1/predictions", { version: "planner/fresh" });
  await created("/v1/predictions", { version: `planner/fresh:${"3".repeat(64)}` }, { "idempotency-key": "one" });
  const change = { key: fresh, method: "PUT" };
  const alias = { ...change, body: { version: "3".repeat(64) } };
  expect((await callJson("/v1/models/planner/fresh/aliases/stable", alias)).status).toBe(200);
  const rules = { ...change, body: { rules: [{ accounts: ["planner"], version: "stable" }] } };
  expect((await callJson("/v1/models/planner/fresh/routes", rules)).status).toBe(200);
  await created("/v1/predictions", { version: "planner/fresh:stable" });
  const unknown = { ...own, body: { version: `planner/fresh:${"4".repeat(64)}`, input } };
  expect((await callJson("/v1/predictions", unknown)).status).toBe(422);
  await created("/v1/models/planner/fresh/predictions", { input: { text: "x".repeat(20_000) } });
  await created("/v1/deployments/planner/d/predictions", {});
  await callJson("/v1/predictions", { key: `ep_${"a".repeat(43)}`, env });
  for (const query of noted.noted.keys())
    expect(query).not.toMatch(/readme|description|\bruns\b|SELECT \*[^]*FROM (models|versions)/);
  for (const path of [`/v1/predictions/${id}`, "/v1/predictions", `/v1/predictions/${id}/webhooks`])
    expect([path, (await callJson(path, own)).status]).toEqual([path, 200]);
  await callJson(`/v1/predictions/${id}/cancel`, { ...own, method: "POST" });
  await callJson(`/v1/predictions/${id}`, { ...own, method: "DELETE" });
  const text = { headers: { "content-type": "text/plain", "content-length": "4" }, body: "file" };
  const file = await callJson("/v1/files?name=a.txt", { ...own, ...text });
  expect(file.status).toBe(201);
  const link = (file.body["urls"] as { get: string }).get;
  expect((await call(link, { env })).status).toBe(200);
  expect((await callJson(`/v1/files/${String(file.body["id"])}`, own)).status).toBe(200);
  const upload = await callJson("/v1/uploads", { ...own, body: { name: "a.txt", size: 4 } });
  const parts = `/v1/uploads/${String(upload.body["id"])}`;
  await callJson(`${parts}/parts/1`, { ...own, method: "PUT", ...text });
  expect((await callJson(`${parts}/complete`, { ...own, method: "POST" })).status).toBe(201);
  expect(await scanning()).toEqual([]);
});

test("none that a pool's calls make", async () => {
  anew();
  const { body } = await callJson("/v1/predictions", { key, body: { version: VERSION, input } });
  const id = String(body["id"]);
  const grant = await pool.claim(id);
  const token = String((await admin("/pool-tokens", {}))["token"]);
  const own = { key: token, env };
  await callJson("/pool/v1/events", { ...own, body: { session: pool.session, events: [] } });
  await callJson("/pool/v1/claims", { ...own, body: { session: pool.session, startNow: 1, jobs: [{ id }] } });
  await callJson(`/pool/v1/models/planner/planned/versions/${VERSION}`, own);
  await callJson("/pool/v1/events", { env, key: `epp_${"a".repeat(43)}`, body: {} });
  const blobs = `/pool/v1/blobs/${id}/${grant.token}`;
  const text = { method: "PUT", headers: { "content-length": "4" }, body: "file" };
  expect((await callJson(`${blobs}/out.txt`, { ...own, ...text })).status).toBe(201);
  const started = await callJson(`${blobs}/large.bin/uploads`, { ...own, body: { size: 4 } });
  const upload = `${blobs}/large.bin/uploads/${String(started.body["upload"])}`;
  await callJson(`${upload}/parts/1`, { ...own, ...text });
  await callJson(`${upload}/complete`, { ...own, method: "POST" });
  expect(await scanning()).toEqual([]);
});

test("none that a push makes, or a pool that fetches what was pushed", async () => {
  anew();
  const own = { key: await newKey("planner"), env };
  const token = { owners: ["planner"], lanes: ["default"], may_register_models: true };
  const ofPool = { key: String((await admin("/pool-tokens", token))["token"]), env };
  const { bundle, contents } = await bundleOf({ "cog.yaml": "planned", "b.py": "" });
  const [[sha256, content]] = [...contents] as [[string, Uint8Array]];
  const model = "/v1/models/planner/pushed";
  await callJson(`${model}/chunks/missing`, { ...own, body: { chunks: [sha256] } });
  expect((await call(`${model}/chunks/${sha256}`, { ...own, method: "PUT", body: content })).status).toBe(204);
  const pushed = await callJson(`${model}/versions`, { ...own, body: { bundle, manifest: {} } });
  expect(pushed.status).toBe(201);
  const version = String(pushed.body["id"]);
  expect((await call("/pool/v1/models", ofPool)).status).toBe(200);
  expect((await call(`/pool/v1/models/planner/pushed/versions/${version}/bundle`, ofPool)).status).toBe(200);
  const problem = { stage: "setup", problem: "broken" };
  const reported = `/pool/v1/models/planner/pushed/versions/${version}/problem`;
  expect((await call(reported, { ...ofPool, body: problem })).status).toBe(200);
  expect((await call(`${model}/versions/${version}`, own)).status).toBe(200);
  expect((await call(`${model}/versions`, own)).status).toBe(200);
  await call(`${model}/versions/${version}`, { ...own, method: "DELETE" });
  await testEnv.DB.prepare("UPDATE bundles SET deleted_at = 1 WHERE version = ?").bind(version).run();
  await sweepBundles(env, 10);
  await testEnv.DB.prepare("UPDATE bundle_chunks SET seen_at = 1 WHERE owner = 'planner'").run();
  await sweepChunks(env, 10);
  const left = testEnv.DB.prepare("SELECT count(*) AS rows FROM bundle_chunks WHERE owner = 'planner'");
  expect(await left.first("rows")).toBe(0);
  expect(await scanning()).toEqual([]);
});

test("none that stored environments make", async () => {
  anew();
  const token = { owners: ["planner"], may_store_environments: true };
  const own = { key: String((await admin("/pool-tokens", token))["token"]), env };
  const { bundle, contents } = await bundleOf({ pack: "an environment" });
  const [[sha256, content]] = [...contents] as [[string, Uint8Array]];
  const root = "/pool/v1/environments/planner";
  await callJson(`${root}/chunks/missing`, { ...own, body: { chunks: [sha256] } });
  expect((await call(`${root}/chunks/${sha256}`, { ...own, method: "PUT", body: content })).status).toBe(204);
  const about = { python: "3", platform: "", libc: "", cuda: null, buildMs: 0 };
  const layer = `${root}/${"5".repeat(64)}`;
  expect((await call(layer, { ...own, method: "PUT", body: { bundle, about } })).status).toBe(201);
  expect((await call(layer, own)).status).toBe(200);
  expect((await call(`${layer}/problem`, { ...own, body: { chunk: sha256 } })).status).toBe(200);
  const operator = { key: testEnv.ADMIN_KEY ?? "", env };
  expect((await call("/admin/v1/environments?owner=planner", operator)).status).toBe(200);
  expect((await call("/admin/v1/environments?limit=1", operator)).status).toBe(200);
  await testEnv.DB.prepare("UPDATE environment_layers SET used_at = 1").run();
  await sweepEnvironmentLayers(env, 10);
  const removed = `/admin/v1/environments/planner/${"5".repeat(64)}`;
  expect((await call(removed, { ...operator, method: "DELETE" })).status).toBe(404);
  expect(await scanning()).toEqual([]);
});

test("none that objects make", async () => {
  anew();
  const ended = { id: "p", model: "planner/planned", version: VERSION, lane: "default", attempt: 1, endedAt: 1 };
  await currentLog(env);
  await recordRuns(env.DB, [{ model: "planner/planned", version: VERSION, accountId: "a", count: 1 }]);
  await recordDeadLetters(env, [{ ...ended, accountId: "a", reason: "timed_out" }]);
  await isPoolTokenValid(env, "of-nobody");
  await identifyPool(env, String((await admin("/pool-tokens", {}))["token"]));
  const account = String((await admin("/accounts", { name: "planned-receiver" }))["id"]);
  await webhookSecrets(env, account);
  await currentWebhookSecret(env, account);
  await rotateWebhookSecret(env, account);
  const manifest = await offer({ owner: "planner", name: "again", version: "4".repeat(64) });
  const schema = { openapi: "3.1.0" };
  expect(await registerManifests(env, { owners: ["planner"], lanes: ["default"] }, [{ ...manifest, schema }])).toEqual(
    [],
  );
  await registerDevices(env, [{ id: "0", kind: "cuda", name: "Planned GPU", memoryBytes: null }]);
  await notePool(env, "token", {
    ...{ type: "hello", protocol: PROTOCOL, session: "session-planned", previous: "session-before", pool: "box" },
    ...{ version: "0", lanes: ["default"], devices: [], models: [] },
  });
  await notePoolState(env, "session-planned", "away");
  await readConfigurations(env.DB, ["planner"]);
  await lanesOf(env.DB, manifest);
  await deletePredictionBlobs(env, "04kq8m0000000000000000000a");
  await deleteStrayOutputs(env, "04kq8m0000000000000000000a", "token");
  expect(await scanning()).toEqual([]);
});

test("and the check sees one that does", async () => {
  anew();
  await noted.db.prepare("SELECT name FROM accounts WHERE type = ?").bind("user").first();
  expect(await scanning()).toHaveLength(1);
  const scans = async (query: string, ...bindings: unknown[]) => scansOf(testEnv.DB, { query, bindings });
  expect(await scans("SELECT * FROM accounts WHERE type = ?", "user")).toEqual(["SCAN accounts"]);
  expect(await scans("SELECT a.id FROM accounts a JOIN runs r ON r.account_id = a.id")).toHaveLength(1);
  expect(await scans("SELECT count(*) FROM files")).toHaveLength(1);
});
