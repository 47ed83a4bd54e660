/** What a claim reads and writes in the bucket, and what becomes of it. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Grant } from "../../contract/claim.ts";
import { shardName, shardOf } from "../../contract/ids.ts";
import { deletePredictionBlobs } from "../../storage/blobs.ts";
import { uploadsUnder } from "../../storage/upload-rows.ts";
import { sweepUploads } from "../../storage/uploads.ts";
import { PATIENCE } from "../../../test/patience.ts";

const VERSION = "e".repeat(64);
let key = "";
let pool: FakePool;

async function create(input: Record<string, unknown> = { text: "Ada" }): Promise<string> {
  const { body } = await callJson("/v1/predictions", { key, body: { version: VERSION, input } });
  return String(body["id"]);
}

beforeAll(async () => {
  key = await newKey("blobber");
  pool = await FakePool.open();
  await offer({ name: "blobber", version: VERSION });
});

describe("blobs", () => {
  const large = { text: "ä".repeat(9000) };

  it("brings a large input to the pool by reference, and to the client whole", async () => {
    const id = await create(large);
    expect((await callJson(`/v1/predictions/${id}`, { key })).body["input"]).toStrictEqual(large);
    const grant = await pool.claim(id);
    expect(grant.input).toBeUndefined();
    const response = await call(grant.inputBlob ?? "", { key: pool.key });
    expect(await response.json()).toStrictEqual(large);
  });

  it("brings the large input of a keyed prediction too", async () => {
    const headers = { "idempotency-key": "large-and-keyed" };
    const { body } = await callJson("/v1/predictions", { key, headers, body: { version: VERSION, input: large } });
    const grant = await pool.claim(String(body["id"]));
    const response = await call(grant.inputBlob ?? "", { key: pool.key });
    expect([response.status, (await response.text()) === JSON.stringify(large)]).toEqual([200, true]);
  });

  it("keeps small inputs in the record", async () => {
    expect((await pool.claim(await create())).input).toEqual({ text: "Ada" });
  });

  it("takes a large output by reference", async () => {
    const id = await create();
    const grant = await pool.claim(id);
    const text = JSON.stringify({ answer: "x".repeat(300_000) });
    const path = `/pool/v1/blobs/${id}/${grant.token}/output.json`;
    const headers = { "content-type": "application/json", "content-length": String(text.length) };
    const put = await callJson(path, { method: "PUT", key: pool.key, headers, body: text });
    expect(put.status).toBe(201);
    await pool.send(grant, { type: "succeeded", outputBlob: String(put.body["key"]) });
    const { body } = await callJson(`/v1/predictions/${id}`, { key });
    expect(body).toMatchObject({ status: "succeeded", output: JSON.parse(text) as unknown });
  });

  it("keeps what the claim stored that won, and nothing of those before it, once the prediction has ended", async () => {
    const id = await create();
    const store = async (grant: Grant, name: string) => {
      const path = `/pool/v1/blobs/${id}/${grant.token}/${name}`;
      const headers = { "content-type": "application/json", "content-length": "2" };
      const { body } = await callJson(path, { method: "PUT", key: pool.key, headers, body: "{}" });
      return String(body["key"]);
    };
    const stored = async () =>
      (await testEnv.BLOBS.list({ prefix: `predictions/${id}/` })).objects.map(({ key }) => key);
    const lost = await pool.claim(id);
    const strays = [await store(lost, "a.json"), await store(lost, "b.json")];
    const path = `/pool/v1/blobs/${id}/${lost.token}/c.bin/uploads`;
    const { body: upload } = await callJson(path, { key: pool.key, body: { size: 8 } });
    expect(upload["part_count"]).toBe(1);
    await pool.send(lost, { type: "released", reason: "drain" });
    const won = await pool.claim(id);
    const kept = await store(won, "output.json");
    expect((await stored()).toSorted()).toEqual([...strays, kept].toSorted());

    await pool.send(won, { type: "succeeded", outputBlob: kept });
    const shard = testEnv.SHARD.getByName(shardName(shardOf(id)));
    await vi.waitFor(async () => {
      await runDurableObjectAlarm(shard);
      expect(await stored()).toEqual([kept]);
    }, PATIENCE);
    expect(await uploadsUnder(testEnv.DB, `predictions/${id}/`)).toEqual([]);
    const { body } = await callJson(`/v1/predictions/${id}`, { key });
    expect(body).toMatchObject({ status: "succeeded", output: {} });
    // It is due again when its retention ends, and not before.
    await runInDurableObject(shard, (_object, state) => {
      const [row] = state.storage.sql.exec("SELECT wake_at FROM prediction WHERE id = ?", id).toArray();
      expect(Number(row?.["wake_at"])).toBeGreaterThan(Date.now() + 23 * 3_600_000);
    });
  });

  it("serves an output file behind its link, as an attachment in a sandbox", async () => {
    const id = await create();
    const grant = await pool.claim(id);
    const html = "<script>alert(1)</script>";
    const headers = { "content-type": "text/html", "content-length": String(html.length) };
    const put = await callJson(`/pool/v1/blobs/${id}/${grant.token}/1-page.html`, {
      method: "PUT",
      key: pool.key,
      headers,
      body: html,
    });
    const url = String(put.body["url"]);
    const file = await call(url);
    expect([file.status, await file.text()]).toEqual([200, html]);
    expect(file.headers.get("content-disposition")).toContain("attachment");
    expect(file.headers.get("x-content-type-options")).toBe("nosniff");
    expect(file.headers.get("content-security-policy")).toContain("sandbox");
    expect((await call(url.replace("1-page", "2-page"))).status).toBe(403);
    expect((await call(url.replace(/expires=\d+/, "expires=99999999999"))).status).toBe(403);
    expect((await call(new URL(url).pathname)).status).toBe(403);
  });

  it.each([
    ["mask.txt", 'attachment; filename="mask.txt"'],
    ["my photo (1).jpg", 'attachment; filename="my photo (1).jpg"'],
    ["naïve 🎉.txt", `attachment; filename="na_ve _.txt"; filename*=UTF-8''na%C3%AFve%20%F0%9F%8E%89.txt`],
    ['a"b\\c%2F.txt', `attachment; filename="a_b_c_2F.txt"; filename*=UTF-8''a%22b%5Cc%252F.txt`],
    [
      `${"ü".repeat(300)}.png`,
      `attachment; filename="${"_".repeat(251)}.png"; filename*=UTF-8''${"%C3%BC".repeat(251)}.png`,
    ],
  ])("serves an output file under its own name: %s", async (name, disposition) => {
    const { id, token } = await pool.claim(await create());
    const put = { method: "PUT", key: pool.key, headers: { "content-length": "4" }, body: "some" };
    const stored = await callJson(`/pool/v1/blobs/${id}/${token}/7?name=${encodeURIComponent(name)}`, put);
    const url = String(stored.body["url"]);
    expect(decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "")).toBe(name.slice(-255));
    // As somebody writes the same address in another way.
    for (const address of [url, url.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase())]) {
      const file = await call(address);
      expect([file.status, file.headers.get("content-disposition"), await file.text()]).toEqual([
        200,
        disposition,
        "some",
      ]);
    }
    expect((await call(url.replace("/7/", "/8/"))).status).toBe(403);
    expect((await call(url.replace(/[^/]*\?/, "evil.html?"))).status).toBe(403);
  });

  it("serves an output file whose pool tells no name, or none that a link can end with, under its blob's", async () => {
    const { id, token } = await pool.claim(await create());
    const put = { method: "PUT", key: pool.key, headers: { "content-length": "4" }, body: "some" };
    for (const query of ["", "?name=", "?name=.", "?name=.."]) {
      const url = String((await callJson(`/pool/v1/blobs/${id}/${token}/1-a.txt${query}`, put)).body["url"]);
      expect(new URL(url).pathname).toBe(`/v1/outputs/${id}/${token}/1-a.txt`);
      expect((await call(url)).headers.get("content-disposition")).toBe('attachment; filename="1-a.txt"');
    }
  });

  it("takes an output file in parts", async () => {
    const id = await create();
    const grant = await pool.claim(id);
    const base = `/pool/v1/blobs/${id}/${grant.token}/1-film.mp4/uploads`;
    const started = await callJson(base, { key: pool.key, body: { size: 9, content_type: "video/mp4" } });
    expect(started.body).toMatchObject({ part_size: 64 * 1024 * 1024, part_count: 1 });
    const at = `${base}/${String(started.body["upload"])}`;
    const put = { method: "PUT", key: pool.key, headers: { "content-length": "9" }, body: "some film" };
    expect((await call(`${at}/complete`, { method: "POST", key: pool.key })).status).toBe(409);
    expect((await call(`${at}/parts/1`, put)).status).toBe(200);
    expect((await call(`${at.replace("1-film", "2-film")}/parts/1`, put)).status).toBe(404);
    const complete = () => callJson(`${at}/complete?name=a%20film.mp4`, { method: "POST", key: pool.key });
    const done = await complete();
    expect([done.status, done.body["key"]]).toEqual([201, `predictions/${id}/output/${grant.token}/1-film.mp4`]);
    expect(new URL(String(done.body["url"])).pathname).toMatch(/\/1-film\.mp4\/a%20film\.mp4$/);
    expect((await complete()).body).toEqual(done.body);
    const file = await call(String(done.body["url"]), { headers: { range: "bytes=5-" } });
    expect([file.status, await file.text(), file.headers.get("content-type")]).toEqual([206, "film", "video/mp4"]);
  });

  it("keeps an output that went up twice when the upload that was left is swept", async () => {
    const id = await create();
    const grant = await pool.claim(id);
    const base = `/pool/v1/blobs/${id}/${grant.token}/1-film.mp4/uploads`;
    // The answer to the first was lost, and the pool asked again.
    const { body: left } = await callJson(base, { key: pool.key, body: { size: 9 } });
    const { body: taken } = await callJson(base, { key: pool.key, body: { size: 9 } });
    const at = `${base}/${String(taken["upload"])}`;
    const put = { method: "PUT", key: pool.key, headers: { "content-length": "9" }, body: "some film" };
    expect((await call(`${at}/parts/1`, put)).status).toBe(200);
    const done = await callJson(`${at}/complete`, { method: "POST", key: pool.key });
    await pool.send(grant, { type: "succeeded", output: String(done.body["url"]) });
    await testEnv.DB.prepare("UPDATE uploads SET expires_at = 1 WHERE id = ?").bind(left["upload"]).run();
    await sweepUploads(testEnv, 100);
    expect(await uploadsUnder(testEnv.DB, `predictions/${id}/`)).toEqual([]);
    expect(await (await call(String(done.body["url"]))).text()).toBe("some film");
  });

  it("brings a large output and input to the webhook whole", async () => {
    const host = `${crypto.randomUUID()}.example.com`;
    const body = { version: VERSION, input: large, webhook: `https://${host}/`, webhook_events_filter: ["completed"] };
    const id = String((await callJson("/v1/predictions", { key, body })).body["id"]);
    const grant = await pool.claim(id);
    const text = JSON.stringify({ answer: "x".repeat(300_000) });
    const headers = { "content-type": "application/json", "content-length": String(text.length) };
    const path = `/pool/v1/blobs/${id}/${grant.token}/output.json`;
    const put = await callJson(path, { method: "PUT", key: pool.key, headers, body: text });
    await pool.send(grant, { type: "succeeded", outputBlob: String(put.body["key"]) });
    const sender = testEnv.WEBHOOKS.getByName(`${host}:443`);
    const sent = () =>
      runInDurableObject(sender, (_sender, { storage }) =>
        storage.sql
          .exec<{ body: string }>("SELECT body FROM messages")
          .toArray()
          .map((row) => JSON.parse(row.body) as unknown),
      );
    await expect
      .poll(sent)
      .toMatchObject([{ id, status: "succeeded", input: large, output: JSON.parse(text) as unknown }]);
  });

  it("lets go of an upload in parts when its claim is lost", async () => {
    const id = await create();
    const grant = await pool.claim(id);
    const base = `/pool/v1/blobs/${id}/${grant.token}/1-film.mp4/uploads`;
    const at = `${base}/${String((await callJson(base, { key: pool.key, body: { size: 9 } })).body["upload"])}`;
    expect((await call(at, { method: "DELETE", key: pool.key })).status).toBe(204);
    const again = `${base}/${String((await callJson(base, { key: pool.key, body: { size: 9 } })).body["upload"])}`;
    await pool.send(grant, { type: "released", reason: "drain" });
    await pool.claim(id);
    const put = { method: "PUT", key: pool.key, headers: { "content-length": "9" }, body: "some film" };
    expect((await call(`${again}/parts/1`, put)).status).toBe(403);
    await deletePredictionBlobs(testEnv, id);
    expect(await testEnv.DB.prepare("SELECT id FROM uploads").first()).toBeNull();
  });

  it("demands the latest claim of an unfinished prediction", async () => {
    const id = await create(large);
    const grant = await pool.claim(id);
    const wrong = grant.inputBlob?.replace(grant.token, "0".repeat(32)) ?? "";
    expect((await call(wrong, { key: pool.key })).status).toBe(403);
    expect((await call(`/pool/v1/blobs/${id}/short/input`, { key: pool.key })).status).toBe(404);
    await pool.send(grant, { type: "released", reason: "drain" });
    await pool.claim(id);
    const path = `/pool/v1/blobs/${id}/${grant.token}/output.json`;
    const headers = { "content-length": "2" };
    expect((await call(path, { method: "PUT", key: pool.key, headers, body: "{}" })).status).toBe(403);
  });

  it("logs a failure without the claim's token", async () => {
    const { id, token } = await pool.claim(await create());
    const put = vi.spyOn(testEnv.BLOBS, "put").mockRejectedValueOnce(new Error("R2 is away"));
    const lines = vi.spyOn(console, "error").mockImplementation(() => {});
    const headers = { "content-length": "2" };
    const path = `/pool/v1/blobs/${id}/${token}/output.json`;
    expect((await call(path, { method: "PUT", key: pool.key, headers, body: "{}" })).status).toBe(500);
    const logged = lines.mock.calls.flat().join("\n");
    put.mockRestore();
    lines.mockRestore();
    expect(logged).toContain(`/pool/v1/blobs/${id}/…/output.json`);
    expect(logged).not.toContain(token);
  });

  it("refuses an output that names another claim's blob", async () => {
    const [mine, theirs] = [await pool.claim(await create()), await pool.claim(await create())];
    const key = `predictions/${theirs.id}/output/${theirs.token}/output.json`;
    const answer = await pool.send(mine, { type: "succeeded", outputBlob: key });
    expect([answer.status, answer.body["code"]]).toEqual([403, "forbidden"]);
  });
});
