/** Whose models a pool's token may bring into the list, and what of a version may change. */
import { expect, it } from "vitest";
import { admin, call, testEnv } from "../../test/worker/edge-harness.ts";
import { EdgeMessageSchema } from "../contract/channel.ts";
import { SESSION_HEADER } from "../contract/claim.ts";
import { createNotedDb } from "../../test/worker/noted-db.ts";
import type { Env } from "../env.ts";
import { ManifestSchema } from "../contract/manifest.ts";
import type { Manifest } from "../contract/manifest.ts";
import { registerManifests } from "./registration.ts";

const VERSION = "8".repeat(64);
const LATER = "9".repeat(64);
const schema = { openapi: "3.1.0" };

const manifest = (fields: Partial<Manifest>): Manifest =>
  ManifestSchema.parse({ owner: "acme", name: "m", version: VERSION, ...fields });
const register = (owners: string[], lanes: string[], ...fields: Partial<Manifest>[]) =>
  registerManifests(testEnv, { owners, lanes }, fields.map(manifest));
async function storedOf(name: string): Promise<Manifest[]> {
  const rows = await testEnv.DB.prepare("SELECT manifest FROM versions WHERE name = ? ORDER BY id").bind(name).all();
  return rows.results.map((row) => JSON.parse(String(row["manifest"])) as Manifest);
}
const latestOf = async (name: string) =>
  testEnv.DB.prepare("SELECT latest_version FROM models WHERE name = ?").bind(name).first("latest_version");

it("takes models of the token's owners on the token's lanes only", async () => {
  const refused = await register(
    ["local"],
    ["default"],
    { owner: "local", name: "scoped" },
    { name: "scoped-owner" },
    { owner: "local", name: "scoped-lane", lane: "other" },
  );
  expect(refused).toEqual([
    { model: "acme/scoped-owner", version: VERSION, reason: expect.stringContaining('owner "acme"') as string },
    { model: "local/scoped-lane", version: VERSION, reason: expect.stringContaining('lane "other"') as string },
  ]);
  expect(await storedOf("scoped")).toHaveLength(1);
  expect([await storedOf("scoped-owner"), await storedOf("scoped-lane")]).toEqual([[], []]);
});

it("takes models of owners whom the operator doesn't trust from pools that isolate them only", async () => {
  const lanes = ["default"];
  const owners = ["acme", "local"];
  const offered = [manifest({ name: "guest" }), manifest({ owner: "local", name: "house" })];
  const offer = (isolation: "none" | "user", trusted?: string) =>
    registerManifests(
      trusted === undefined ? testEnv : { ...testEnv, TRUSTED_OWNERS: trusted },
      { owners, lanes, isolation },
      offered,
    );
  const [refused, ...others] = await offer("none");
  expect(refused).toMatchObject({ model: "acme/guest", reason: expect.stringContaining("isolate") as string });
  expect(others).toEqual([]);
  expect(await storedOf("guest")).toEqual([]);
  expect(await offer("none", "local, acme")).toEqual([]);
  expect(await offer("user")).toEqual([]);
  expect(await storedOf("guest")).toHaveLength(1);
  expect(await offer("none")).toHaveLength(1);
});

it("lets no token change, or add a version to, a model of another owner", async () => {
  await register(["acme"], ["private"], { name: "theirs", lane: "private" });
  const before = await storedOf("theirs");
  const refused = await register(
    ["local"],
    ["default"],
    { name: "theirs", lane: "default", schema },
    { name: "theirs", lane: "default", version: LATER },
  );
  expect(refused).toHaveLength(2);
  expect(await storedOf("theirs")).toEqual(before);
  expect(await latestOf("theirs")).toBe(VERSION);
});

it("gives a version its schema once, and changes nothing else of it", async () => {
  const changed = { startTimeoutMs: 1000, totalTimeoutMs: 1000, maxBatchSize: 7, resumesDeterministically: true };
  await register(["acme"], ["default"], { name: "fixed" });
  const [first] = await storedOf("fixed");
  await register(["acme"], ["default"], { name: "fixed", ...changed });
  expect(await storedOf("fixed")).toEqual([first]);
  await register(["acme"], ["default"], { name: "fixed", ...changed, schema, streams: "iterate" });
  expect(await storedOf("fixed")).toEqual([{ ...first, schema, streams: "iterate" }]);
  await register(["acme"], ["default"], { name: "fixed", schema: { openapi: "4" }, streams: "no" });
  expect(await storedOf("fixed")).toEqual([{ ...first, schema, streams: "iterate" }]);
});

it("notes once how many processes of a version stand by, where it was registered before that was said", async () => {
  await register(["acme"], ["default"], { name: "standing", minInstances: 1 });
  const forget = "UPDATE versions SET manifest = json_remove(manifest, '$.minInstances') WHERE name = 'standing'";
  await testEnv.DB.prepare(forget).run();
  // An isolate remembers what it registered: another description is none of that.
  await register(["acme"], ["default"], { name: "standing", minInstances: 1, description: "again" });
  expect(await storedOf("standing")).toMatchObject([{ minInstances: 1, schema: null }]);
  await register(["acme"], ["default"], { name: "standing", minInstances: 5, schema });
  expect(await storedOf("standing")).toMatchObject([{ minInstances: 1, schema }]);
});

it("moves no version to another lane, and says so", async () => {
  const lanes = ["default", "mine"];
  await register(["acme"], lanes, { name: "settled" });
  const before = await storedOf("settled");
  const [refused] = await register(["acme"], lanes, { name: "settled", lane: "mine", schema });
  expect(refused?.reason).toContain('registered on the lane "default"');
  expect(await storedOf("settled")).toEqual(before);
});

it("takes as many new models at once as the platform lets it write, and the others the next time", async () => {
  const many = Array.from({ length: 500 }, (_, nth) => ({ name: `many-${nth}` }));
  const { db, noted } = createNotedDb(testEnv.DB);
  const offered = async (env: Pick<Env, "DB">) =>
    registerManifests(env, { owners: ["acme"], lanes: ["default"] }, many.map(manifest));
  expect(await offered(testEnv)).toHaveLength(50);
  expect(await offered(testEnv)).toEqual([]);
  const again = many.map((one) => manifest({ ...one, description: "again" }));
  expect(await registerManifests({ DB: db }, { owners: ["acme"], lanes: ["default"] }, again)).toEqual([]);
  expect([...noted.keys()].filter((query) => !query.startsWith("SELECT"))).toEqual([]);
});

it("takes what a session was stored with before tokens had owners for `local`", async () => {
  const before = { lanes: ["default"] };
  const models = [manifest({ owner: "local", name: "older" }), manifest({ name: "older" })];
  expect(await registerManifests(testEnv, before, models)).toMatchObject([{ model: "acme/older" }]);
});

it("tells the pool, when it connects, which models it doesn't take", async () => {
  const made = await admin("/pool-tokens", { lanes: ["default"], may_register_models: true });
  expect(made["owners"]).toEqual(["local"]);
  const headers = { upgrade: "websocket", [SESSION_HEADER]: "session-refused" };
  const { webSocket } = await call("/pool/v1/connect", { key: String(made["token"]), headers });
  if (webSocket === null) throw new Error("no socket came back");
  const welcome = new Promise<unknown>((resolve) => {
    webSocket.addEventListener("message", ({ data }) => resolve(JSON.parse(String(data))));
  });
  webSocket.accept();
  const models = [manifest({ owner: "local", name: "offered" }), manifest({ name: "taken" })];
  const host = { pool: "host", version: "0", lanes: ["default"], devices: [] };
  webSocket.send(JSON.stringify({ type: "hello", protocol: 2, session: "session-refused", ...host, models }));
  expect(EdgeMessageSchema.parse(await welcome)).toMatchObject({
    type: "welcome",
    refusedModels: [{ model: "acme/taken", version: VERSION }],
  });
  expect([await storedOf("offered"), await storedOf("taken")]).toMatchObject([[{ owner: "local" }], []]);
  webSocket.close();
});
