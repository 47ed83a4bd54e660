import { beforeAll, describe, expect, it } from "vitest";
import { admin, call, callJson, testEnv } from "../../../test/worker/edge-harness.ts";
import { bundleOf } from "../../../test/worker/pushing.ts";
import type { Files } from "../../../test/worker/pushing.ts";
import { bundleVersion, sha256Of } from "../../contract/bundle.ts";
import { UNUSED_CHUNK_MS } from "../../registry/chunks.ts";
import { judgeLayer, UNUSED_LAYER_MS } from "../../registry/environment-layers.ts";
import { sweepExpired } from "../../registry/sweep.ts";
import { chunkKey, environmentChunksOf } from "../../storage/chunks.ts";

const OWNER = "builder";
const about = { python: "3.11.4", platform: "linux-x86_64", libc: "glibc 2.36", cuda: null, buildMs: 1000 };
const shown = { ...about, compiledFor: null };
const ROOT = "/pool/v1/environments";
let [builder, reader, stranger] = ["", "", ""];

const tokenOf = async (owner: string, may_store_environments: boolean) =>
  String((await admin("/pool-tokens", { owners: [owner], may_store_environments }))["token"]);
const keyOf = async (name: string) => sha256Of(new Uint8Array(new TextEncoder().encode(name)));
const sendChunk = async (sha256: string, content: Uint8Array, key = builder, more = {}) =>
  callJson(`${ROOT}/${OWNER}/chunks/${sha256}`, { method: "PUT", key, body: content, ...more });
const find = async (name: string, key = reader) => callJson(`${ROOT}/${OWNER}/${await keyOf(name)}`, { key });

/** Sends the chunks, and stores the layer. */
async function store(name: string, files: Files, key = builder) {
  const { bundle, contents } = await bundleOf(files);
  const sent: number[] = [];
  for (const [sha256, content] of contents) sent.push((await sendChunk(sha256, content, key)).status);
  const path = `${ROOT}/${OWNER}/${await keyOf(name)}`;
  const answer = await callJson(path, { method: "PUT", key, body: { bundle, about } });
  return { ...answer, sent, list: await bundleVersion(bundle), chunks: [...contents.keys()] };
}
const read = async (sha256: string, key = reader) => call(`${ROOT}/${OWNER}/chunks/${sha256}`, { key });
const usage = async () =>
  testEnv.DB.prepare("SELECT count, bytes FROM usage WHERE owner = ?").bind(environmentChunksOf(OWNER)).first();

beforeAll(async () => {
  builder = await tokenOf(OWNER, true);
  reader = await tokenOf(OWNER, false);
  stranger = await tokenOf("somebody", true);
});

describe("an environment", () => {
  it("that a trusted pool stored is read, whole and in parts, by every pool of its owner", async () => {
    const missing = (await find("first")).body;
    expect(missing).toEqual({ layer: null, mayStore: false });
    const stored = await store("first", { "index.json": "[]", "pack-0": "packed" });
    expect([stored.status, stored.sent]).toEqual([201, [204, 204]]);
    const { body } = await find("first");
    expect(body).toEqual({ layer: { list: stored.list, bytes: 8, files: 2, about: shown }, mayStore: false });
    expect((await find("first", builder)).body["mayStore"]).toBe(true);
    const [, pack = ""] = stored.chunks;
    expect(await (await read(pack)).text()).toBe("packed");
    expect(await sha256Of(new Uint8Array(await (await read(stored.list)).arrayBuffer()))).toBe(stored.list);
    const ask = { key: builder, body: { chunks: [pack, "0".repeat(64)] } };
    const asked = await callJson(`${ROOT}/${OWNER}/chunks/missing`, ask);
    expect(asked.body).toEqual({ missing: ["0".repeat(64)] });
  });

  it("stays what the first made it", async () => {
    const first = await store("immutable", { pack: "the first" });
    const second = await store("immutable", { pack: "the second" });
    expect([first.status, second.status, second.body["list"]]).toEqual([201, 200, first.list]);
    expect((await find("immutable")).body["layer"]).toMatchObject({ list: first.list });
  });

  it("is neither read nor stored by pools of other owners, nor stored without the right", async () => {
    const { chunks, list } = await store("guarded", { pack: "a secret" });
    expect((await find("guarded", stranger)).status).toBe(404);
    for (const sha256 of [...chunks, list]) expect((await read(sha256, stranger)).status).toBe(404);
    const others = `${ROOT}/somebody`;
    expect((await call(`${others}/chunks/${chunks[0]}`, { key: stranger })).status).toBe(404);
    expect((await callJson(`${others}/${await keyOf("guarded")}`, { key: stranger })).body["layer"]).toBeNull();
    const { bundle, contents } = await bundleOf({ pack: "poison" });
    const [[sha256, content]] = [...contents] as [[string, Uint8Array]];
    const attempts = async (key: string) => [
      (await sendChunk(sha256, content, key)).status,
      (await callJson(`${ROOT}/${OWNER}/chunks/missing`, { key, body: { chunks: [sha256] } })).status,
      (await callJson(`${ROOT}/${OWNER}/${await keyOf("poisoned")}`, { method: "PUT", key, body: { bundle, about } }))
        .status,
    ];
    expect(await attempts(reader)).toEqual([403, 403, 403]);
    expect(await attempts(stranger)).toEqual([404, 404, 404]);
    expect((await find("poisoned")).body["layer"]).toBeNull();
  });

  it("is not stored without its chunks, nor with wrong ones, nor beyond its owner's quota", async () => {
    const { bundle, contents } = await bundleOf({ pack: "not sent" });
    const [[sha256, content]] = [...contents] as [[string, Uint8Array]];
    const path = `${ROOT}/${OWNER}/${await keyOf("incomplete")}`;
    const early = await callJson(path, { method: "PUT", key: builder, body: { bundle, about } });
    expect([early.status, early.body["code"]]).toEqual([409, "bundle_incomplete"]);
    expect((await sendChunk("0".repeat(64), content)).body["code"]).toBe("chunk_mismatch");
    const env = { ...testEnv, QUOTA_ENVIRONMENT_BYTES: "5" };
    const full = await sendChunk(sha256, content, builder, { env });
    expect([full.status, full.body["code"]]).toEqual([403, "quota_exceeded"]);
    expect(full.body["detail"]).toContain("stored environments");
  });

  it.each([
    ["long names of what it was compiled for", { compiledFor: { cpu: Array(200).fill("x".repeat(100)), gpus: [] } }],
    ["a building that never ended", { buildMs: 2 ** 50 }],
  ])("is not stored with %s", async (_what, more) => {
    const { bundle } = await bundleOf({ pack: "not sent either" });
    const path = `${ROOT}/${OWNER}/${await keyOf("immense")}`;
    const answer = await callJson(path, {
      method: "PUT",
      key: builder,
      body: { bundle, about: { ...about, ...more } },
    });
    expect([answer.status, answer.body["code"]]).toEqual([422, "invalid_input"]);
  });

  it("takes no room from its owner's pushes", async () => {
    await store("counted", { pack: "counted by itself" });
    const rows = testEnv.DB.prepare("SELECT count(*) AS rows FROM bundle_chunks WHERE owner = ?").bind(OWNER);
    expect(await rows.first("rows")).toBe(0);
    expect(await usage()).toMatchObject({ count: expect.any(Number) as unknown });
  });
});

describe("a chunk that a pool finds broken", () => {
  const report = async (name: string, chunk: string, key = reader) =>
    callJson(`${ROOT}/${OWNER}/${await keyOf(name)}/problem`, { key, body: { chunk } });

  it("takes its environment away where it is broken, and is asked for anew", async () => {
    const files = { pack: "to be broken" };
    const { chunks } = await store("broken", files);
    const [chunk = ""] = chunks;
    await testEnv.BLOBS.put(chunkKey(environmentChunksOf(OWNER), chunk), "other bytes!");
    expect((await report("broken", chunk)).body).toEqual({ removed: true });
    expect((await find("broken")).body["layer"]).toBeNull();
    expect((await store("broken", files)).status).toBe(201);
    expect(await (await read(chunk)).text()).toBe("to be broken");
  });

  it("stays what it is when it is sent again while it is judged", async () => {
    const { chunks } = await store("judged", { pack: "judged" });
    const [chunk = ""] = chunks;
    await testEnv.BLOBS.put(chunkKey(environmentChunksOf(OWNER), chunk), "other!");
    const again = new TextEncoder().encode("judged");
    const { DB } = testEnv;
    const racing = {
      batch: (statements: D1PreparedStatement[]) => DB.batch(statements),
      prepare(query: string) {
        if (!query.startsWith("UPDATE bundle_chunks SET state = 0")) return DB.prepare(query);
        return {
          bind: (...values: unknown[]) => ({
            async run() {
              await DB.prepare(query)
                .bind(...values)
                .run();
              expect((await sendChunk(chunk, again)).status).toBe(204);
            },
          }),
        };
      },
    };
    const env = { ...testEnv, DB: racing as unknown as D1Database };
    expect(await judgeLayer(env, { owner: OWNER, key: await keyOf("judged") }, chunk)).toBe(true);
    expect(await (await read(chunk)).text()).toBe("judged");
  });

  it("is believed by nobody's word", async () => {
    const { chunks } = await store("sound", { pack: "sound" });
    const other = await store("other", { pack: "of another" });
    expect((await report("sound", chunks[0] ?? "")).body).toEqual({ removed: false });
    expect((await report("sound", other.chunks[0] ?? "")).body).toEqual({ removed: false });
    expect((await report("sound", "0".repeat(64))).body).toEqual({ removed: false });
    expect((await report("sound", chunks[0] ?? "", stranger)).status).toBe(404);
    expect((await find("sound")).body["layer"]).not.toBeNull();
  });

  it("is not read again for whoever says so once more", async () => {
    const { chunks } = await store("told of", { pack: "told of again and again" });
    const [chunk = ""] = chunks;
    expect((await report("told of", chunk)).body).toEqual({ removed: false });
    await testEnv.BLOBS.put(chunkKey(environmentChunksOf(OWNER), chunk), "other bytes!");
    expect((await report("told of", chunk)).body).toEqual({ removed: false });
  });
});

describe("the operator", () => {
  const operator = { key: testEnv.ADMIN_KEY ?? "" };
  const page = async (query: string) => {
    const { body } = await callJson(`/admin/v1/environments?${query}`, operator);
    return { keys: (body["results"] as { key: string }[]).map(({ key }) => key), next: body["next_cursor"] };
  };

  it("sees what is stored, page by page, and deletes it", async () => {
    await store("listed", { pack: "listed" });
    await store("listed too", { pack: "listed too" });
    const all = await page(`owner=${OWNER}`);
    expect(all.keys).toEqual(all.keys.toSorted());
    const first = await page(`owner=${OWNER}&limit=1`);
    const rest = await page(`owner=${OWNER}&cursor=${encodeURIComponent(String(first.next))}`);
    expect([...first.keys, ...rest.keys]).toEqual(all.keys);
    expect((await page("owner=somebody")).keys).toEqual([]);
    const path = `/admin/v1/environments/${OWNER}/${await keyOf("listed")}`;
    const remove = async () => (await call(path, { ...operator, method: "DELETE" })).status;
    expect([await remove(), await remove()]).toEqual([204, 404]);
    expect((await find("listed")).body["layer"]).toBeNull();
    expect((await callJson(path, { key: builder, method: "DELETE" })).status).toBe(401);
  });
});

describe("environments that no pool asks for", () => {
  it("go after a month, and give their bytes back a day later", async () => {
    await testEnv.DB.prepare("DELETE FROM environment_layers").run();
    await testEnv.DB.prepare("DELETE FROM bundle_chunks").run();
    const [old, used] = [await store("old", { a: "old", b: "shared" }), await store("used", { b: "shared" })];
    const age = (names: string, ms: number) => testEnv.DB.prepare(names).bind(ms).run();
    await age("UPDATE environment_layers SET used_at = used_at - ?", UNUSED_LAYER_MS - 60_000);
    await sweepExpired(testEnv);
    expect((await find("used")).body["layer"]).not.toBeNull();
    await age("UPDATE environment_layers SET used_at = used_at - ?", 60_001);
    await sweepExpired(testEnv);
    expect((await find("old")).body["layer"]).toBeNull();
    expect((await find("used")).body["layer"]).toMatchObject({ list: used.list });
    await age("UPDATE bundle_chunks SET seen_at = seen_at - ?", UNUSED_CHUNK_MS + 1);
    await sweepExpired(testEnv);
    const [first = "", shared = ""] = old.chunks;
    expect([(await read(first)).status, (await read(old.list)).status, (await read(shared)).status]).toEqual([
      404, 404, 200,
    ]);
    expect(await usage()).toMatchObject({ count: 2 });
  });

  it("give their bytes back though their list is gone", async () => {
    await store("beside", { b: "shared" });
    const before = await usage();
    const lost = await store("lost", { a: "of the lost one", b: "shared" });
    await testEnv.BLOBS.delete(chunkKey(environmentChunksOf(OWNER), lost.list));
    await testEnv.DB.prepare("UPDATE environment_layers SET used_at = 0 WHERE list = ?").bind(lost.list).run();
    await sweepExpired(testEnv);
    await testEnv.DB.prepare("UPDATE bundle_chunks SET seen_at = 0").run();
    await sweepExpired(testEnv);
    expect(await usage()).toEqual(before);
  });
});
