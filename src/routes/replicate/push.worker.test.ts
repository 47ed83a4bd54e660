import { beforeAll, describe, expect, it, vi } from "vitest";
import { call, callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { bundleOf, pathOf, push, SCHEMA, sendChunks } from "../../../test/worker/pushing.ts";
import { CHUNK_BYTES, sha256Of } from "../../contract/bundle.ts";
import { encodeFrames } from "../../contract/chunk-frames.ts";
import { Lane } from "../../lane/lane.ts";
import { chunkKey } from "../../storage/chunks.ts";

const bytes = (text: string) => new Uint8Array(new TextEncoder().encode(text));
const NOBODYS = "0".repeat(64);

let key = "";
let stranger = "";
const model = (name: string) => ({ owner: "pusher", name, key });
const state = async (name: string, version: string) =>
  (await callJson(`${pathOf(model(name))}/versions/${version}`, { key })).body["edgeplane"];
const latest = async (name: string) => {
  const { body } = await callJson(pathOf(model(name)), { key });
  return (body["latest_version"] as { id: string } | null)?.id ?? null;
};
const predict = async (name: string, version: string | null = null) =>
  callJson(version === null ? `${pathOf(model(name))}/predictions` : "/v1/predictions", {
    key,
    body: { input: {}, ...(version === null ? {} : { version }) },
  });

beforeAll(async () => {
  key = await newKey("pusher");
  stranger = await newKey("push-stranger");
});

describe("chunks", () => {
  it("are asked for once, however often they are sent", async () => {
    const { contents } = await bundleOf({ a: "asked for", b: "as well" });
    const [first = "", second = ""] = contents.keys();
    const missing = async () =>
      (await callJson(`${pathOf(model("m"))}/chunks/missing`, { key, body: { chunks: [first, second, first] } })).body;
    expect(await missing()).toEqual({ missing: [first, second] });
    const put = async () =>
      call(`${pathOf(model("m"))}/chunks/${first}`, { method: "PUT", key, body: bytes("asked for") });
    expect((await put()).status).toBe(204);
    expect(await missing()).toEqual({ missing: [second] });
    expect((await put()).status).toBe(204);
    expect(await sendChunks(model("m"), contents)).toBe(204);
    expect(await missing()).toEqual({ missing: [] });
    expect(await (await testEnv.BLOBS.get(chunkKey("pusher", second)))?.text()).toBe("as well");
  });

  it("are what they are named, or nothing of them stays", async () => {
    const sha256 = await sha256Of(bytes("true"));
    const path = `${pathOf(model("m"))}/chunks/${sha256}`;
    const wrong = await callJson(path, { method: "PUT", key, body: bytes("false") });
    expect([wrong.status, wrong.body["code"]]).toEqual([422, "chunk_mismatch"]);
    expect(await testEnv.BLOBS.head(chunkKey("pusher", sha256))).toBeNull();
    const row = testEnv.DB.prepare("SELECT count(*) AS rows FROM bundle_chunks WHERE sha256 = ?").bind(sha256);
    expect(await row.first("rows")).toBe(0);
  });

  it("that are right are kept beside one that isn't", async () => {
    const [right, wrong] = [await sha256Of(bytes("right")), await sha256Of(bytes("left"))];
    const body = encodeFrames([
      { sha256: wrong, content: bytes("wrong") },
      { sha256: right, content: bytes("right") },
    ]);
    const answer = await callJson(`${pathOf(model("m"))}/chunks`, { key, body });
    expect([answer.status, answer.body["code"], answer.body["detail"]]).toEqual([
      422,
      "chunk_mismatch",
      expect.stringContaining(wrong),
    ]);
    const asked = { chunks: [right, wrong] };
    const { body: left } = await callJson(`${pathOf(model("m"))}/chunks/missing`, { key, body: asked });
    expect(left).toEqual({ missing: [wrong] });
  });

  it.each([
    ["a body of frames that was cut", () => encodeFrames([{ sha256: NOBODYS, content: bytes("x") }]).slice(0, 36)],
    ["no frames at all", () => bytes("")],
  ])("are refused as %s", async (_what, body) => {
    const answer = await callJson(`${pathOf(model("m"))}/chunks`, { key, body: body() });
    expect([answer.status, answer.body["code"]]).toEqual([400, "invalid_request"]);
  });

  it("are no larger than they may be, and not empty", async () => {
    const path = `${pathOf(model("m"))}/chunks/${NOBODYS}`;
    const sized = async (length: number) =>
      callJson(path, { method: "PUT", key, body: "", headers: { "content-length": String(length) } });
    expect((await sized(CHUNK_BYTES + 1)).body["code"]).toBe("payload_too_large");
    expect((await sized(0)).body["code"]).toBe("invalid_request");
  });

  it("count as their owner's bytes once, and no more than the quota are taken", async () => {
    const owner = "quota-pusher";
    const own = { owner, name: "m", key: await newKey(owner) };
    const env = { ...testEnv, QUOTA_BUNDLE_BYTES: "10" };
    const send = async (text: string) =>
      callJson(`${pathOf(own)}/chunks/${await sha256Of(bytes(text))}`, {
        method: "PUT",
        key: own.key,
        body: bytes(text),
        env,
      });
    expect((await send("1234567")).status).toBe(204);
    expect((await send("1234567")).status).toBe(204);
    const over = await send("7654");
    expect([over.status, over.body["code"], over.body["detail"]]).toEqual([
      403,
      "quota_exceeded",
      expect.stringContaining("QUOTA_BUNDLE_BYTES"),
    ]);
    expect((await send("765")).status).toBe(204);
    expect((await send("1234567")).status).toBe(204);
    const usage = testEnv.DB.prepare("SELECT count, bytes FROM usage WHERE owner = ? AND kind = 'bundles'");
    expect(await usage.bind(owner).first()).toEqual({ count: 2, bytes: 10 });
  });
});

describe("a key", () => {
  it.each([
    ["PUT", `/chunks/${NOBODYS}`],
    ["POST", "/chunks"],
    ["POST", "/chunks/missing"],
    ["POST", "/versions"],
  ])("of another account may not %s %s", async (method, path) => {
    const { bundle } = await bundleOf({ "cog.yaml": "" });
    const body = path === "/versions" ? { bundle, manifest: {} } : path === "/chunks/missing" ? { chunks: [] } : "x";
    const answer = await callJson(`${pathOf(model("m"))}${path}`, { method, key: stranger, body });
    expect([answer.status, answer.body["code"]]).toEqual([403, "forbidden"]);
    expect(answer.body["detail"]).toContain('of the account "push-stranger"');
  });

  it("that may only read pushes nothing", async () => {
    const reader = await newKey("pusher", { scopes: ["models:read"] });
    expect((await push({ ...model("m"), key: reader }, { "cog.yaml": "" })).status).toBe(403);
  });

  it("finds nothing of what another account has sent", async () => {
    const { contents } = await bundleOf({ a: "mine alone" });
    await sendChunks(model("m"), contents);
    const other = { owner: "push-stranger", name: "m", key: stranger };
    const { bundle } = await bundleOf({ a: "mine alone" });
    const answer = await callJson(`${pathOf(other)}/versions`, { key: stranger, body: { bundle, manifest: {} } });
    expect([answer.status, answer.body["code"]]).toEqual([409, "bundle_incomplete"]);
    expect(answer.body["detail"]).toContain([...contents.keys()][0]);
  });
});

describe("a push", () => {
  it("makes a private model, whose version waits for a pool and can't be run before", async () => {
    const pushed = await push(
      model("waits"),
      { "cog.yaml": "predict: x", "a/empty": "" },
      { manifest: { lane: "fast" } },
    );
    expect(pushed.status).toBe(201);
    expect(pushed.body).toMatchObject({ id: pushed.version, schema_known: false, lane: "fast" });
    expect(await state("waits", pushed.version)).toEqual({
      status: "pending",
      problem: expect.stringMatching(
        /no pool has asked for its files yet.*"pusher".*"fast".*TRUSTED_OWNERS/,
      ) as unknown,
      stage: null,
      log: null,
      bundle: { bytes: 10, files: 2 },
      plugins: [],
      plugin_problem: null,
    });
    expect((await callJson(pathOf(model("waits")), { key })).body).toMatchObject({ visibility: "private" });
    expect(await latest("waits")).toBeNull();
    for (const refused of [await predict("waits"), await predict("waits", pushed.version)]) {
      expect([refused.status, refused.body["code"]]).toEqual([409, "version_pending"]);
      expect(refused.body["detail"]).toContain("no pool has asked for its files yet");
    }
  });

  it("with its schema is live at once, and the latest unless it says otherwise", async () => {
    const first = await push(model("known"), { "cog.yaml": "1" }, { manifest: { schema: SCHEMA } });
    expect(await state("known", first.version)).toMatchObject({ status: "live", problem: null });
    expect(await latest("known")).toBe(first.version);
    expect((await predict("known")).status).toBe(201);
    const aside = await push(model("known"), { "cog.yaml": "2" }, { manifest: { schema: SCHEMA }, latest: false });
    expect(await latest("known")).toBe(first.version);
    expect((await predict("known", aside.version)).status).toBe(201);
  });

  it("of files that are here sends nothing, and is the same version whoever was first", async () => {
    const files = { "cog.yaml": "same", "b.py": "print(1)" };
    const { bundle, contents } = await bundleOf(files);
    await sendChunks(model("twin"), contents);
    const body = { bundle, manifest: { schema: SCHEMA } };
    const answers = await Promise.all(
      Array.from({ length: 4 }, async () => callJson(`${pathOf(model("twin"))}/versions`, { key, body })),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 200, 201]);
    expect(new Set(answers.map(({ body: { id } }) => id)).size).toBe(1);
    const refs = testEnv.DB.prepare(
      "SELECT DISTINCT refs FROM bundle_chunks WHERE owner = 'pusher' AND sha256 IN (?, ?)",
    );
    expect((await refs.bind(...contents.keys()).all()).results).toEqual([{ refs: 1 }]);
  });

  it("is told to the pools of its lane, and so are a move of a name and a deletion", async () => {
    const nudged = vi.spyOn(Lane.prototype, "nudge");
    const lane = { lane: "told", schema: SCHEMA };
    const told = () => nudged.mock.calls.filter(([to, what]) => to === "told" && what === "models").length;
    const first = await push(model("told"), { "cog.yaml": "1" }, { manifest: lane });
    await expect.poll(told).toBe(1);
    const second = await push(model("told"), { "cog.yaml": "2" }, { manifest: lane });
    await expect.poll(told).toBe(2);
    const body = { version: first.version };
    await call(`${pathOf(model("told"))}/aliases/stable`, { method: "PUT", key, body });
    await expect.poll(told).toBe(3);
    await call(`${pathOf(model("told"))}/versions/${second.version}?force=true`, { method: "DELETE", key });
    await expect.poll(told).toBe(4);
  });

  it("names what is missing, and goes through once that was sent", async () => {
    const { bundle, contents } = await bundleOf({ "cog.yaml": "cut off", "x.bin": "not sent yet" });
    const [first = "", second = ""] = contents.keys();
    await sendChunks(model("resumed"), new Map([...contents].slice(0, 1)));
    const register = async () =>
      callJson(`${pathOf(model("resumed"))}/versions`, { key, body: { bundle, manifest: {} } });
    const refused = await register();
    expect([refused.status, refused.body["code"]]).toEqual([409, "bundle_incomplete"]);
    expect(refused.body["detail"]).toContain(second);
    expect(refused.body["detail"]).not.toContain(first);
    expect((await callJson(pathOf(model("resumed")), { key })).status).toBe(404);
    await sendChunks(model("resumed"), contents);
    expect((await register()).status).toBe(201);
  });

  it("that says other sizes than its chunks have is refused", async () => {
    const { bundle, contents } = await bundleOf({ "bomb.bin": "small" });
    await sendChunks(model("bomb"), contents);
    const [file] = bundle.files;
    const lying = { ...bundle, files: [{ ...file, bytes: CHUNK_BYTES }] };
    const answer = await callJson(`${pathOf(model("bomb"))}/versions`, { key, body: { bundle: lying, manifest: {} } });
    expect([answer.status, answer.body["code"]]).toEqual([422, "chunk_mismatch"]);
    expect(answer.body["detail"]).toContain("has 5 bytes");
  });

  it.each(["../evil", "/etc/passwd", "a/../../b", "a\\b", ".edgeplane/version.json"])(
    "with the path %j is refused, and the path named",
    async (path) => {
      const { bundle } = await bundleOf({ x: "" });
      const files = [{ ...bundle.files[0], path }];
      const body = { bundle: { ...bundle, files }, manifest: {} };
      const answer = await callJson(`${pathOf(model("slip"))}/versions`, { key, body });
      expect([answer.status, answer.body["invalid_fields"]]).toMatchObject([422, [{ field: "bundle.files.0.path" }]]);
    },
  );

  it("of a million files, or with a manifest that is too long, is refused as the client's fault", async () => {
    const file = { path: "", mode: 420, bytes: 0, chunks: [] };
    const files = Array.from({ length: 120_000 }, (_, at) => ({ ...file, path: String(at).padStart(6, "0") }));
    const many = await callJson(`${pathOf(model("many"))}/versions`, {
      key,
      body: { bundle: { format: 1, files }, manifest: {} },
    });
    expect([413, 422]).toContain(many.status);
    const { bundle } = await bundleOf({ x: "" });
    const schema = { description: "x".repeat(1024 * 1024) };
    const long = await callJson(`${pathOf(model("long"))}/versions`, { key, body: { bundle, manifest: { schema } } });
    expect([long.status, long.body["code"]]).toEqual([413, "payload_too_large"]);
  });

  it("is refused when the owner has as many versions as it may, and then makes no model", async () => {
    const owner = "full-pusher";
    const own = { owner, name: "m", key: await newKey(owner) };
    const { bundle, contents } = await bundleOf({ "cog.yaml": "full" });
    await sendChunks(own, contents);
    const env = { ...testEnv, QUOTA_VERSIONS: "0" };
    const answer = await callJson(`${pathOf(own)}/versions`, { key: own.key, body: { bundle, manifest: {} }, env });
    expect([answer.status, answer.body["code"]]).toEqual([403, "quota_exceeded"]);
    expect((await callJson(pathOf(own), { key: own.key })).status).toBe(404);
  });

  it("of a deleted version that there is no room for leaves it deleted, and one that fits makes it again", async () => {
    const owner = "again-pusher";
    const own = { owner, name: "m", key: await newKey(owner) };
    const files = { "cog.yaml": "again" };
    const { version } = await push(own, files, { manifest: { schema: SCHEMA } });
    await push(own, { "cog.yaml": "another" });
    await callJson(`${pathOf(own)}/versions/${version}?force=true`, { method: "DELETE", key: own.key });
    const full = { ...testEnv, QUOTA_VERSIONS: "1" };
    const refused = await push(own, files, { manifest: { schema: SCHEMA } }, full);
    expect([refused.status, refused.body["code"]]).toEqual([403, "quota_exceeded"]);
    const run = async () =>
      callJson("/v1/predictions", { key: own.key, body: { version: `${owner}/m:${version}`, input: {} } });
    expect((await run()).body["code"]).toBe("version_deleted");
    expect((await push(own, files, { manifest: { schema: SCHEMA } })).status).toBe(200);
    expect((await run()).status).toBe(201);
  });
});

describe("a version becomes live", () => {
  const schema = SCHEMA;
  const offered = (name: string, version: string) => offer({ owner: "pusher", name, version, schema });

  it("when a pool tells its schema, and then is the latest", async () => {
    const { version } = await push(model("comes"), { "cog.yaml": "comes" });
    await offered("comes", version);
    expect(await state("comes", version)).toMatchObject({ status: "live", problem: null });
    expect(await latest("comes")).toBe(version);
    expect((await predict("comes")).status).toBe(201);
  });

  it("without becoming the latest, when it was pushed before that, or aside", async () => {
    const early = await push(model("late"), { "cog.yaml": "early" });
    const aside = await push(model("late"), { "cog.yaml": "aside" }, { latest: false });
    const newest = await push(model("late"), { "cog.yaml": "newest" }, { manifest: { schema } });
    for (const { version } of [early, aside]) await offered("late", version);
    expect(await latest("late")).toBe(newest.version);
    expect(await state("late", early.version)).toMatchObject({ status: "live" });
  });

  it("and the latest again, when it is pushed again after another", async () => {
    const first = await push(model("again"), { "cog.yaml": "first" }, { manifest: { schema } });
    const second = await push(model("again"), { "cog.yaml": "second" }, { manifest: { schema } });
    expect(await latest("again")).toBe(second.version);
    expect((await push(model("again"), { "cog.yaml": "first" })).status).toBe(200);
    expect(await latest("again")).toBe(first.version);
  });

  it("as models of folders do, which nothing is asked of", async () => {
    await offer({ owner: "pusher", name: "folder", version: "f".repeat(64), schema: null });
    expect(await latest("folder")).toBe("f".repeat(64));
    expect(await state("folder", "f".repeat(64))).toMatchObject({ status: "live", bundle: null });
    expect((await predict("folder")).status).toBe(201);
  });
});

describe("a deleted version", () => {
  it("leaves the latest to one that is live, and can be pushed again", async () => {
    const files = { "cog.yaml": "deleted" };
    const old = await push(model("gone"), { "cog.yaml": "old" }, { manifest: { schema: SCHEMA } });
    const { version } = await push(model("gone"), files, { manifest: { schema: SCHEMA } });
    await push(model("gone"), { "cog.yaml": "pending" });
    const remove = { method: "DELETE", key };
    expect((await call(`${pathOf(model("gone"))}/versions/${version}?force=true`, remove)).status).toBe(202);
    expect(await latest("gone")).toBe(old.version);
    expect((await predict("gone", version)).status).toBe(404);
    expect((await push(model("gone"), files, { manifest: { schema: SCHEMA } })).status).toBeLessThan(300);
    expect(await latest("gone")).toBe(version);
    expect(await state("gone", version)).toMatchObject({ status: "live" });
  });
});
