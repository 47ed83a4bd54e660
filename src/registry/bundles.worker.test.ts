import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, newKey, testEnv } from "../../test/worker/edge-harness.ts";
import { bundleOf, pathOf, push, SCHEMA, sendChunks } from "../../test/worker/pushing.ts";
import { chunkKey } from "../storage/chunks.ts";
import { sweepBundles } from "./bundles.ts";
import { UNUSED_CHUNK_MS } from "./chunks.ts";
import { sweepRecounts } from "./recounts.ts";
import { sweepExpired } from "./sweep.ts";

const OWNER = "swept";
let key = "";
const model = (name: string) => ({ owner: OWNER, name, key });
const manifest = { schema: SCHEMA };

const isStored = async (sha256: string) => (await testEnv.BLOBS.head(chunkKey(OWNER, sha256))) !== null;
const usage = async () =>
  testEnv.DB.prepare("SELECT count, bytes FROM usage WHERE owner = ? AND kind = 'bundles'").bind(OWNER).first();
/** As if nobody had asked for anything for so long. */
const age = async (ms: number) => testEnv.DB.prepare("UPDATE bundle_chunks SET seen_at = seen_at - ?").bind(ms).run();
const remove = async (name: string, version: string) => {
  const path = `${pathOf(model(name))}/versions/${version}?force=true`;
  expect((await call(path, { method: "DELETE", key })).status).toBe(202);
};
const endKeeping = async () =>
  testEnv.DB.prepare("UPDATE bundles SET deleted_at = 1 WHERE deleted_at IS NOT NULL").run();

beforeAll(async () => {
  key = await newKey(OWNER);
});

describe("chunks that no version has", () => {
  it("go after a day in which nobody asked for them, and give their bytes back", async () => {
    const { contents } = await bundleOf({ a: "unused", b: "asked for" });
    const [unused = "", asked = ""] = contents.keys();
    await sendChunks(model("m"), contents);
    await age(UNUSED_CHUNK_MS - 60_000);
    const body = { chunks: [asked] };
    await call(`${pathOf(model("m"))}/chunks/missing`, { key, body });
    await sweepExpired(testEnv);
    expect([await isStored(unused), await isStored(asked)]).toEqual([true, true]);
    await age(60_001);
    await sweepExpired(testEnv);
    expect([await isStored(unused), await isStored(asked)]).toEqual([false, true]);
    expect(await usage()).toEqual({ count: 1, bytes: "asked for".length });
    await age(UNUSED_CHUNK_MS + 1);
    await sweepExpired(testEnv);
    expect(await usage()).toEqual({ count: 0, bytes: 0 });
  });

  it("are no chunks to count on while they go", async () => {
    const { contents } = await bundleOf({ a: "going" });
    const [sha256 = ""] = contents.keys();
    await sendChunks(model("m"), contents);
    await testEnv.DB.prepare("UPDATE bundle_chunks SET state = 2, seen_at = 0 WHERE sha256 = ?").bind(sha256).run();
    expect((await push(model("m"), { a: "going" })).body["code"]).toBe("bundle_incomplete");
    expect(await sendChunks(model("m"), contents)).toBe(503);
    await sweepExpired(testEnv);
    expect((await push(model("m"), { a: "going" }, { manifest })).status).toBe(201);
    expect(await isStored(sha256)).toBe(true);
  });
});

describe("a version's files", () => {
  it("may have more chunks than one statement names, each counted once", async () => {
    const own = { owner: "swept-many", name: "many", key: await newKey("swept-many") };
    const hash = (at: number) => at.toString(16).padStart(64, "0");
    const count = 10_001;
    const file = (at: number) => ({
      path: `d/${String(at).padStart(6, "0")}`,
      mode: 420,
      bytes: 1,
      chunks: [hash(at)],
    });
    const files = Array.from({ length: count }, (_, at) => file(at));
    const rows = JSON.stringify(files.map(({ chunks: [sha256] }) => sha256));
    await testEnv.DB.prepare(
      `INSERT INTO bundle_chunks (owner, sha256, bytes, state, seen_at) SELECT ?1, value, 1, 1, 1 FROM json_each(?2)`,
    )
      .bind(own.owner, rows)
      .run();
    const body = { bundle: { format: 1, files: [...files, file(count)] }, manifest };
    const register = async () => callJson(`${pathOf(own)}/versions`, { key: own.key, body });
    expect((await register()).body["detail"]).toContain(hash(count));
    await testEnv.DB.prepare("INSERT INTO bundle_chunks VALUES (?, ?, 1, 1, 0, 1)").bind(own.owner, hash(count)).run();
    const { status, body: made } = await register();
    expect(status).toBe(201);
    const counted = testEnv.DB.prepare(
      "SELECT sum(refs) AS refs, count(*) AS rows FROM bundle_chunks WHERE owner = ? AND refs = ?",
    );
    expect(await counted.bind(own.owner, 1).first()).toEqual({ refs: count + 2, rows: count + 2 });
    await call(`${pathOf(own)}/versions/${String(made["id"])}`, { method: "DELETE", key: own.key });
    await endKeeping();
    await sweepBundles(testEnv, 10);
    expect(await counted.bind(own.owner, 1).first("rows")).toBe(0);
    await testEnv.DB.prepare("DELETE FROM bundle_chunks WHERE owner = ?").bind(own.owner).run();
  });

  it("stay while any version has them, and go with the last", async () => {
    const one = await push(model("one"), { "cog.yaml": "one", shared: "weights" }, { manifest });
    const two = await push(model("two"), { "cog.yaml": "two", shared: "weights" }, { manifest });
    const [own = "", shared = ""] = one.chunks;
    await remove("one", one.version);
    await sweepExpired(testEnv);
    await age(UNUSED_CHUNK_MS + 1);
    await sweepExpired(testEnv);
    expect([await isStored(own), await isStored(one.version)]).toEqual([true, true]);
    await endKeeping();
    await sweepExpired(testEnv);
    await age(UNUSED_CHUNK_MS + 1);
    await sweepExpired(testEnv);
    expect([await isStored(own), await isStored(one.version), await isStored(shared)]).toEqual([false, false, true]);
    expect(await isStored(two.version)).toBe(true);
    await remove("two", two.version);
    await endKeeping();
    await sweepExpired(testEnv);
    await age(UNUSED_CHUNK_MS + 1);
    await sweepExpired(testEnv);
    expect([await isStored(shared), await isStored(two.version)]).toEqual([false, false]);
  });

  it("stay when the version is pushed again before they went", async () => {
    const files = { "cog.yaml": "back again" };
    const { version, chunks } = await push(model("back"), files, { manifest });
    await remove("back", version);
    await push(model("back"), files, { manifest });
    await endKeeping();
    await age(UNUSED_CHUNK_MS + 1);
    await sweepExpired(testEnv);
    expect(await isStored(chunks[0] ?? "")).toBe(true);
    const refs = testEnv.DB.prepare("SELECT refs FROM bundle_chunks WHERE sha256 = ?").bind(chunks[0]);
    expect(await refs.first("refs")).toBe(1);
  });

  describe("whose list was gone when they were removed", () => {
    const files = (name: string) => ({ "cog.yaml": name, shared: "weights" });
    const refsOf = async (owner: string, { version, chunks }: { version: string; chunks: string[] }) => {
      const query = testEnv.DB.prepare("SELECT refs FROM bundle_chunks WHERE owner = ? AND sha256 = ?");
      const refs = [version, ...chunks].map(async (sha256) => Number(await query.bind(owner, sha256).first("refs")));
      return (await Promise.all(refs)).toSorted((a, b) => a - b);
    };
    const rowsOf = async (table: string) =>
      Number(await testEnv.DB.prepare(`SELECT count(*) AS rows FROM ${table}`).first("rows"));

    it.each([
      ["is gone", async (at: string) => testEnv.BLOBS.delete(at)],
      ["is no list any more", async (at: string) => void (await testEnv.BLOBS.put(at, "{}"))],
    ])("are counted anew where it %s, with what is pushed and what is removed meanwhile", async (_, spoil) => {
      const owner = `uncounted-${crypto.randomUUID().slice(0, 8)}`;
      const own = (name: string) => ({ owner, name, key: ownKey });
      const ownKey = await newKey(owner);
      const drop = async (name: string, version: string) => {
        await call(`${pathOf(own(name))}/versions/${version}?force=true`, { method: "DELETE", key: ownKey });
        await endKeeping();
        await sweepBundles(testEnv, 10);
      };
      const lost = await push(own("lost"), { ...files("lost"), alone: "of no other" }, { manifest });
      const kept = await push(own("kept"), files("kept"), { manifest });
      await spoil(chunkKey(owner, lost.version));
      await drop("lost", lost.version);
      // One list a step.
      expect(await sweepRecounts(testEnv, 5)).toEqual({ calls: 4, more: true });
      await drop("kept", kept.version);
      const later = await push(own("later"), files("later"), { manifest });
      const last = await push(own("last"), files("last"), { manifest });
      while ((await sweepRecounts(testEnv, 5)).more);
      expect([await refsOf(owner, later), await refsOf(owner, last)]).toEqual([
        [1, 1, 2],
        [1, 1, 2],
      ]);
      expect([await refsOf(owner, lost), await refsOf(owner, kept)]).toEqual([
        [0, 0, 0, 2],
        [0, 0, 2],
      ]);
      const noted = ["chunk_recounts", "recounted_lists", "recounted_chunks"];
      expect(await Promise.all(noted.map(rowsOf))).toEqual([0, 0, 0]);
      await age(UNUSED_CHUNK_MS + 1);
      await sweepExpired(testEnv);
      const left = testEnv.DB.prepare("SELECT count FROM usage WHERE owner = ? AND kind = 'bundles'").bind(owner);
      expect(await left.first("count")).toBe(5);
    });

    it("hold up no other owner's count where another list of the same owner can't be read", async () => {
      const owners = ["a-stuck", "b-well"];
      for (const owner of owners) {
        const { version } = await push({ owner, name: "m", key: await newKey(owner) }, files(owner), { manifest });
        if (owner === "a-stuck") await testEnv.BLOBS.delete(chunkKey(owner, version));
      }
      const ask = testEnv.DB.prepare("INSERT INTO chunk_recounts SELECT value FROM json_each(?)");
      await ask.bind(JSON.stringify(owners)).run();
      const rows = testEnv.DB.prepare("SELECT owner FROM chunk_recounts ORDER BY owner");
      const waiting = async () => (await rows.all()).results.map(({ owner }) => owner);
      // Any of them has its turn: 100 turns of the same one in a row don't happen.
      for (let turns = 0; turns < 100 && (await waiting()).includes("b-well"); turns += 1)
        await sweepRecounts(testEnv, 10);
      expect(await waiting()).toEqual(["a-stuck"]);
      await testEnv.DB.prepare("DELETE FROM chunk_recounts").run();
    });
  });
});
