import { beforeAll, describe, expect, it } from "vitest";
import { admin, call, callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { bundleOf, pathOf, push, SCHEMA } from "../../../test/worker/pushing.ts";
import { BundleSchema, bundleVersion } from "../../contract/bundle.ts";
import { PROTOCOL } from "../../contract/channel.ts";
import { SESSION_HEADER } from "../../contract/claim.ts";
import { DesiredModelsSchema, MAX_DESIRED_MODELS, MAX_PROBLEM_LOG_CHARS } from "../../contract/push.ts";
import { notePool, notePoolState } from "../../registry/pools.ts";

const OWNER = "fetched";
let key = "";
let pool = "";
let stranger = "";
let elsewhere = "";

const model = (name: string) => ({ owner: OWNER, name, key });
const poolPath = (name: string) => `/pool/v1/models/${OWNER}/${name}`;
const tokenOf = async (owners: string[], lanes: string[], may_register_models = true) =>
  String((await admin("/pool-tokens", { owners, lanes, may_register_models }))["token"]);
const state = async (name: string, version: string) =>
  (await callJson(`${pathOf(model(name))}/versions/${version}`, { key })).body["edgeplane"];
const list = async (token: string, query = "") => {
  const { models } = DesiredModelsSchema.parse((await callJson(`/pool/v1/models${query}`, { key: token })).body);
  return models.map(({ manifest, isLive }) => [manifest.name, manifest.version, isLive]);
};

beforeAll(async () => {
  key = await newKey(OWNER);
  pool = await tokenOf([OWNER], ["default"]);
  stranger = await tokenOf(["somebody"], ["default"]);
  elsewhere = await tokenOf([OWNER], ["elsewhere"]);
});

describe("the list of what a pool may fetch", () => {
  it("has the live versions first, of the token's owners on its lanes alone", async () => {
    const old = await push(model("listed"), { "cog.yaml": "1" }, { manifest: { schema: SCHEMA } });
    const latest = await push(model("listed"), { "cog.yaml": "2" }, { manifest: { schema: SCHEMA } });
    const pending = await push(model("listed"), { "cog.yaml": "3" }, { latest: false });
    expect(await list(pool)).toEqual([
      ["listed", pending.version, true],
      ["listed", latest.version, true],
      ["listed", old.version, false],
    ]);
    expect(await list(stranger)).toEqual([]);
    expect(await list(elsewhere)).toEqual([]);
    const { body } = await callJson("/pool/v1/models", { key: pool });
    const { models } = DesiredModelsSchema.parse(body);
    expect(models.filter(({ isPending }) => isPending).map(({ manifest }) => manifest.version)).toEqual([
      pending.version,
    ]);
  });

  it("has what an alias, a deployment or a canary names among the live, and pending ones where the token can make them so", async () => {
    const [first, ...others] = await Promise.all(
      ["a", "b", "c", "d"].map((text) => push(model("named"), { "cog.yaml": text }, { manifest: { schema: SCHEMA } })),
    );
    const all = [first, ...others].map((pushed) => pushed?.version ?? "");
    const names = `${pathOf(model("named"))}/aliases`;
    const put = (alias: string, body: object) => call(`${names}/${alias}`, { method: "PUT", key, body });
    const [one = "", two = "", three = "", four = ""] = all;
    expect((await put("latest", { version: one })).status).toBe(200);
    expect((await put("stable", { version: two })).status).toBe(200);
    expect((await put("stable", { version: two, canary: { version: three, percent: 5 } })).status).toBe(200);
    const isLive = async (token = pool) =>
      new Map((await list(token)).flatMap(([name, version, live]) => (name === "named" ? [[version, live]] : [])));
    expect(await isLive()).toEqual(new Map(all.map((version) => [version, version !== four])));
    const release = { name: "d", model: `${OWNER}/named`, version: four, hardware: "cpu" };
    const deployed = await call("/v1/deployments", {
      key,
      body: { ...release, min_instances: 0, max_instances: 1 },
    });
    expect(deployed.status).toBe(201);
    expect((await isLive()).get(four)).toBe(true);
    const pending = await push(model("named"), { "cog.yaml": "e" });
    expect((await isLive()).get(pending.version)).toBe(true);
    expect((await isLive(await tokenOf([OWNER], ["default"], false))).get(pending.version)).toBe(false);
  });

  it("has of each owner what is newest, however many another one has pushed", async () => {
    const { version } = await push(model("crowded-out"), { "cog.yaml": "0" }, { manifest: { schema: SCHEMA } });
    const manifest = { owner: "crowd", name: "many", version: "", lane: "default", schema: null };
    const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)";
    const of = `json_set(?1, '$.version', printf('%064x', i))`;
    await testEnv.DB.batch([
      testEnv.DB.prepare(
        `${numbers} INSERT INTO versions (owner, name, id, manifest, created_at)
           SELECT 'crowd', 'many', printf('%064x', i), ${of}, ?2 + i FROM n`,
      ).bind(JSON.stringify(manifest), Date.now()),
      testEnv.DB.prepare(
        `${numbers} INSERT INTO bundles
         (owner, name, version, manifest, lane, files, bytes, nonce, wants_latest, pushed_at)
           SELECT 'crowd', 'many', printf('%064x', i), ${of}, 'default', 1, 1, printf('crowd-%d', i), 1, ?2 + i FROM n`,
      ).bind(JSON.stringify(manifest), Date.now()),
    ]);
    const listed = await list(await tokenOf([OWNER, "crowd"], ["default"]));
    expect(listed).toHaveLength(MAX_DESIRED_MODELS);
    expect(listed).toContainEqual(["crowded-out", version, true]);
    expect(listed).toContainEqual(["many", (1000).toString(16).padStart(64, "0"), true]);
  });

  it("has no owner that isn't trusted for a pool that isolates nothing", async () => {
    expect(await list(pool, "?isolation=none")).toEqual([]);
    expect(await list(pool, "?isolation=user")).not.toEqual([]);
  });

  it("costs nothing while it stays the same, and is another after a push", async () => {
    const first = await call("/pool/v1/models", { key: pool });
    const etag = first.headers.get("etag") ?? "";
    const again = () => call("/pool/v1/models", { key: pool, headers: { "if-none-match": etag } });
    expect((await again()).status).toBe(304);
    await push(model("changes"), { "cog.yaml": "x" });
    expect((await again()).status).toBe(200);
  });

  it("keeps a version for a while that was deleted, for what was accepted before", async () => {
    const { version } = await push(model("leaving"), { "cog.yaml": "x" }, { manifest: { schema: SCHEMA } });
    const remove = { method: "DELETE", key };
    expect((await call(`${pathOf(model("leaving"))}/versions/${version}?force=true`, remove)).status).toBe(202);
    expect(await list(pool)).toContainEqual(["leaving", version, false]);
    expect((await call(`${poolPath("leaving")}/versions/${version}/bundle`, { key: pool })).status).toBe(200);
    await testEnv.DB.prepare("UPDATE bundles SET deleted_at = 1 WHERE version = ?").bind(version).run();
    expect((await list(pool)).map(([name]) => name)).not.toContain("leaving");
  });
});

describe("the files of a version", () => {
  it("are what was pushed: the list's SHA-256 is the version, and chunks come in parts", async () => {
    const files = { "cog.yaml": "predict: predict.py:Predictor", "predict.py": "print('hello')", empty: "" };
    const { version, chunks } = await push(model("read"), files);
    const answer = await call(`${poolPath("read")}/versions/${version}/bundle`, { key: pool });
    const bundle = BundleSchema.parse(await answer.json());
    expect(bundle).toEqual((await bundleOf(files)).bundle);
    expect(await bundleVersion(bundle)).toBe(version);
    const [first = ""] = chunks;
    const whole = await call(`${poolPath("read")}/chunks/${first}`, { key: pool });
    expect([whole.status, await whole.text()]).toEqual([200, files["cog.yaml"]]);
    const part = await call(`${poolPath("read")}/chunks/${first}`, { key: pool, headers: { range: "bytes=9-" } });
    expect([part.status, await part.text()]).toEqual([206, files["cog.yaml"].slice(9)]);
    expect(await state("read", version)).toMatchObject({
      problem: expect.stringContaining("has asked for its files") as unknown,
    });
  });

  it("are not another owner's pool's, and their list not another lane's", async () => {
    const { version, chunks } = await push(model("guarded"), { "cog.yaml": "secret weights" });
    for (const token of [stranger, elsewhere]) {
      expect((await call(`${poolPath("guarded")}/versions/${version}/bundle`, { key: token })).status).toBe(404);
    }
    expect((await call(`${poolPath("guarded")}/chunks/${chunks[0]}`, { key: stranger })).status).toBe(404);
    const asOwn = `/pool/v1/models/somebody/guarded/chunks/${chunks[0]}`;
    expect((await call(asOwn, { key: stranger })).status).toBe(404);
    expect((await call(`${poolPath("guarded")}/chunks/${"0".repeat(64)}`, { key: pool })).status).toBe(404);
    expect((await call(`${poolPath("guarded")}/chunks/..%2f..%2fx`, { key: pool })).status).toBe(400);
    expect((await call(`${poolPath("guarded")}/chunks/${chunks[0]}`, { key })).status).toBe(401);
  });
});

describe("a problem that a pool reports", () => {
  const problem = { stage: "setup", problem: "RuntimeError: no such file", log: "line 1\nline 2" };
  const report = (name: string, version: string, token: string, body: object = problem) =>
    callJson(`${poolPath(name)}/versions/${version}/problem`, { key: token, body });
  /** A pool of the owner that is connected, as this host. */
  const newToken = async () =>
    admin("/pool-tokens", { owners: [OWNER], lanes: ["default"], may_register_models: true });
  const connected = async (host: string, { id, token }: Awaited<ReturnType<typeof newToken>>) => {
    const session = `session-${host}`;
    const of = { protocol: PROTOCOL, version: "1", lanes: [], devices: [], models: [] };
    await notePool(testEnv, String(id), { type: "hello", ...of, session, pool: host });
    const asPool = { key: String(token), headers: { [SESSION_HEADER]: session } };
    return {
      session,
      report: (name: string, version: string, tries: number) =>
        callJson(`${poolPath(name)}/versions/${version}/problem`, { ...asPool, body: { ...problem, tries } }),
      isPending: async (name: string, version: string) => {
        const { models } = DesiredModelsSchema.parse((await callJson("/pool/v1/models", asPool)).body);
        return models.find(({ manifest }) => manifest.name === name && manifest.version === version)?.isPending;
      },
    };
  };
  const predict = async (version: string) => callJson("/v1/predictions", { key, body: { version, input: {} } });

  it("makes a version failed that no pool has set up, with its log, and keeps it from being the latest", async () => {
    const { version } = await push(model("breaks"), { "cog.yaml": "breaks" });
    expect(await report("breaks", version, pool)).toMatchObject({ status: 200, body: { againInMs: null } });
    const bundle = { bytes: 6, files: 1 };
    expect(await state("breaks", version)).toMatchObject({ status: "failed", ...problem, bundle });
    const { body } = await callJson(`${pathOf(model("breaks"))}/versions`, { key });
    expect(body["results"]).toMatchObject([{ edgeplane: { status: "failed", log: null } }]);
    const refused = await predict(version);
    expect([refused.status, refused.body["code"]]).toEqual([409, "version_pending"]);
    expect(refused.body["detail"]).toContain("could not be set up (RuntimeError: no such file)");
    expect((await callJson(pathOf(model("breaks")), { key })).body["latest_version"]).toBeNull();
    expect(await list(pool)).toContainEqual(["breaks", version, false]);
  });

  it("shows its log to the owner alone, also where the model is public", async () => {
    const { version } = await push(model("shown"), { "cog.yaml": "shown" });
    await report("shown", version, pool);
    await testEnv.DB.prepare("UPDATE models SET visibility = 'public' WHERE owner = ? AND name = 'shown'")
      .bind(OWNER)
      .run();
    const other = await newKey("fetched-reader");
    const read = await callJson(`${pathOf(model("shown"))}/versions/${version}`, { key: other });
    expect(read.body["edgeplane"]).toMatchObject({ status: "failed", problem: problem.problem, log: null });
    expect(await state("shown", version)).toMatchObject({ log: problem.log });
  });

  it("fails a version on no single host's word: not before all that may run it have tried", async () => {
    const hosts = await Promise.all(["a", "b", "c"].map(async (name) => connected(`host-${name}`, await newToken())));
    const [a, b, c] = hosts;
    if (a === undefined || b === undefined || c === undefined) throw new Error("three were made");
    const { version } = await push(model("hosts"), { "cog.yaml": "hosts" });
    expect((await a.report("hosts", version, 1)).body).toEqual({ againInMs: 1000 });
    expect((await a.report("hosts", version, 2)).body).toEqual({ againInMs: 30_000 });
    expect(await state("hosts", version)).toMatchObject({
      status: "pending",
      problem:
        "a pool could not set it up, and it is tried again, there or on another host: RuntimeError: no such file",
      log: problem.log,
    });
    expect(await a.isPending("hosts", version)).toBe(true);
    await b.report("hosts", version, 1);
    await notePoolState(testEnv, c.session, "away");
    expect((await b.report("hosts", version, 2)).body).toEqual({ againInMs: null });
    expect(await state("hosts", version)).toMatchObject({ status: "failed", ...problem });
    // A host that comes later has yet to try; those that tried don't again.
    expect(await Promise.all(hosts.map((host) => host.isPending("hosts", version)))).toEqual([false, false, true]);
    await offer({ owner: OWNER, name: "hosts", version, schema: SCHEMA });
    expect(await state("hosts", version)).toMatchObject({ status: "live" });
    const reports = testEnv.DB.prepare("SELECT reports FROM bundles WHERE version = ?").bind(version);
    const before = await reports.first("reports");
    expect((await a.report("hosts", version, 3)).body).toEqual({ againInMs: null });
    const d = await connected("host-later", await newToken());
    expect((await d.report("hosts", version, 1)).body).toEqual({ againInMs: null });
    await notePoolState(testEnv, d.session, "ended");
    expect(await reports.first("reports")).toBe(before);
    expect(await state("hosts", version)).toMatchObject({ status: "live" });
    for (const { session } of hosts) await notePoolState(testEnv, session, "ended");
  });

  it("fails a version for good once hosts of three tokens failed alike, until it is pushed again", async () => {
    const hosts = await Promise.all(
      ["d", "e", "f", "g"].map(async (name) => connected(`host-${name}`, await newToken())),
    );
    const { version } = await push(model("alike"), { "cog.yaml": "alike" });
    await Promise.all(hosts.slice(0, 3).map((host) => host.report("alike", version, 1)));
    expect(await state("alike", version)).toMatchObject({ status: "failed", ...problem });
    expect(await hosts[3]?.isPending("alike", version)).toBe(false);
    await push(model("alike"), { "cog.yaml": "alike" });
    expect(await state("alike", version)).toMatchObject({ status: "pending", log: null });
    expect(await Promise.all(hosts.map((host) => host.isPending("alike", version)))).toEqual(Array(4).fill(true));
    for (const { session } of hosts) await notePoolState(testEnv, session, "ended");
  });

  it("by any number of names of one token keeps no other token's host from its two tries", async () => {
    const token = await newToken();
    const names = Array.from({ length: 9 }, (_, n) => `name-${n}`);
    const invented = await Promise.all(names.map(async (name) => connected(name, token)));
    const honest = await connected("host-honest", await newToken());
    const { version } = await push(model("invented"), { "cog.yaml": "invented" });
    for (const host of invented) await host.report("invented", version, 4);
    const count = "SELECT count(*) AS n FROM bundles b, json_each(b.reports) WHERE b.version = ?";
    expect(await testEnv.DB.prepare(count).bind(version).first("n")).toBe(7);
    expect(await state("invented", version)).toMatchObject({ status: "failed" });
    const open = async () =>
      Promise.all([invented[8], honest].map(async (host) => host?.isPending("invented", version)));
    expect(await open()).toEqual([false, true]);
    expect((await honest.report("invented", version, 1)).body).toEqual({ againInMs: 1000 });
    expect(await open()).toEqual([false, true]);
    expect((await honest.report("invented", version, 2)).body).toEqual({ againInMs: null });
    expect(await open()).toEqual([false, false]);
    for (const { session } of [...invented, honest]) await notePoolState(testEnv, session, "ended");
  });

  it("is forgotten when the version is pushed again, or when another pool sets it up", async () => {
    const { version } = await push(model("mended"), { "cog.yaml": "mended" });
    await report("mended", version, pool);
    await push(model("mended"), { "cog.yaml": "mended" });
    expect(await state("mended", version)).toMatchObject({ status: "pending", log: null });
    expect(await list(pool)).toContainEqual(["mended", version, true]);
    await report("mended", version, pool);
    await offer({ owner: OWNER, name: "mended", version, schema: SCHEMA });
    expect(await state("mended", version)).toMatchObject({ status: "live", problem: problem.problem });
    expect((await predict(version)).status).toBe(201);
    expect((await callJson(pathOf(model("mended")), { key })).body["latest_version"]).toMatchObject({ id: version });
  });

  it("is taken from pools only that may fetch the version, and within bounds", async () => {
    const { version } = await push(model("told"), { "cog.yaml": "told" });
    for (const token of [stranger, elsewhere]) expect((await report("told", version, token)).status).toBe(404);
    expect((await report("told", "0".repeat(64), pool)).status).toBe(404);
    expect((await report("told", version, pool, { ...problem, stage: "predict" })).status).toBe(422);
    const log = "x".repeat(MAX_PROBLEM_LOG_CHARS);
    expect((await report("told", version, pool, { ...problem, log: `${log}y` })).status).toBe(422);
    expect((await report("told", version, pool, { ...problem, log: `${log.slice(1)}y` })).status).toBe(200);
    expect(await state("told", version)).toMatchObject({ log: expect.stringMatching(/^x{16383}y$/) as unknown });
  });
});

describe("the secrets of a version", () => {
  it("are told for as long as it runs what was accepted before it was deleted", async () => {
    const { version } = await push(model("secretive"), { "cog.yaml": "s" }, { manifest: { schema: SCHEMA } });
    const secret = { method: "PUT", key, body: { value: "hf_1" } };
    expect((await call(`${pathOf(model("secretive"))}/secrets/HF_TOKEN`, secret)).status).toBe(204);
    const told = async (token: string) => {
      const { status, body } = await callJson(`${poolPath("secretive")}/versions/${version}/secrets?names=HF_TOKEN`, {
        key: token,
      });
      return status === 200 ? body["secrets"] : status;
    };
    const remove = { method: "DELETE", key };
    expect((await call(`${pathOf(model("secretive"))}/versions/${version}?force=true`, remove)).status).toBe(202);
    expect(await told(pool)).toEqual({ HF_TOKEN: "hf_1" });
    expect([await told(stranger), await told(elsewhere)]).toEqual([404, 404]);
    await testEnv.DB.prepare("DELETE FROM bundles WHERE version = ?").bind(version).run();
    expect(await told(pool)).toBe(404);
  });
});
