/** Retention by account, with the clock set: what has to go is gone from SQLite, the bucket and the registry. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { admin, call, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { shardName, shardOf } from "../../contract/ids.ts";
import { sweepExpired } from "../../registry/sweep.ts";

const VERSION = "7".repeat(64);
const MINUTE_MS = 60_000;

let pool: FakePool;
let key = "";
let accountId = "";

beforeAll(async () => {
  await offer({ name: "kept", version: VERSION });
  pool = await FakePool.open();
  accountId = String((await admin("/accounts", { name: "brief" }))["id"]);
  const change = { method: "PATCH", key: testEnv.ADMIN_KEY ?? "", body: { retention_s: 60 } };
  await callJson("/admin/v1/accounts/brief", change);
  key = await newKey("brief");
});
afterEach(() => void vi.useRealTimers());

/** A prediction with a large input, an output file, a webhook and logs, all of which tell the secret. */
async function telling(headers: Record<string, string> = {}) {
  const secret = `secret-${crypto.randomUUID()}`;
  const host = `${crypto.randomUUID()}.example.com`;
  const input = { text: secret, filler: "x".repeat(20_000) };
  const body = { version: VERSION, input, webhook: `https://${host}/` };
  const id = String((await callJson("/v1/predictions", { key, headers, body })).body["id"]);
  const grant = await pool.claim(id);
  const file = await call(`/pool/v1/blobs/${id}/${grant.token}/out.txt`, {
    method: "PUT",
    key: pool.key,
    headers: { "content-length": String(secret.length) },
    body: secret,
  });
  const { url } = await file.json<{ url: string }>();
  await pool.send(grant, { type: "log", text: secret }, { type: "succeeded", output: [url, secret] });
  await published(id);
  return { id, secret, stubs: { shard: shardStub(id), index: indexStub(), sender: senderStub(host) } };
}

const shardStub = (id: string) => testEnv.SHARD.getByName(shardName(shardOf(id)));
const indexStub = () => testEnv.INDEX.getByName(accountId);
const senderStub = (host: string) => testEnv.WEBHOOKS.getByName(`${host}:443`);

/** All rows of an object that have `text` in them. */
async function rowsWith(stub: DurableObjectStub, text: string): Promise<string> {
  return runInDurableObject(stub, (_object, { storage }) => {
    const tables = storage.sql.exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'",
    );
    const rows = [...tables].flatMap(({ name }) => [...storage.sql.exec(`SELECT * FROM "${name}"`)]);
    return rows
      .map((row) => JSON.stringify(row))
      .filter((row) => row.includes(text))
      .join("\n");
  });
}

async function blobsOf(id: string): Promise<string[]> {
  return (await testEnv.BLOBS.list({ prefix: `predictions/${id}/` })).objects.map(({ key: name }) => name);
}

async function alarm(id: string): Promise<void> {
  await runInDurableObject(shardStub(id), async (_shard, { storage }) => storage.setAlarm(Date.now()));
  await runDurableObjectAlarm(shardStub(id));
}

/** A row stays until its end is in the log, and its usage with the meter. */
async function published(id: string): Promise<void> {
  const pending = async () => {
    await alarm(id);
    return runInDurableObject(shardStub(id), (_shard, { storage }) => [
      ...storage.sql.exec("SELECT pending FROM ended_mark UNION ALL SELECT pending FROM usage_mark"),
    ]);
  };
  await expect.poll(pending).toEqual([{ pending: 0 }, { pending: 0 }]);
}

/** Lets time pass, and the shard's alarm come. */
async function pass(id: string, ms: number): Promise<void> {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
  await alarm(id);
}

describe("the end of an account's retention", () => {
  it("takes rows, blobs, index entries and what webhooks said", async () => {
    const { id, secret, stubs } = await telling();
    // The index and the sender follow within half a second.
    for (const stub of Object.values(stubs)) await expect.poll(() => rowsWith(stub, id)).not.toBe("");
    expect(await blobsOf(id)).toHaveLength(2);
    await pass(id, MINUTE_MS - 5000);
    expect((await callJson(`/v1/predictions/${id}`, { key })).body).toMatchObject({ data_removed: false });
    await runInDurableObject(stubs.sender, (_sender, { storage }) => {
      storage.sql.exec("UPDATE messages SET state = 'delivered', finished_at = 1, response = body");
    });
    expect(await rowsWith(stubs.sender, secret)).not.toBe("");
    await pass(id, 10_000);
    expect((await callJson(`/v1/predictions/${id}`, { key })).status).toBe(404);
    expect(await rowsWith(stubs.shard, id)).toBe("");
    expect(await rowsWith(stubs.index, id)).toBe("");
    expect(await rowsWith(stubs.sender, secret)).toBe("");
    expect(await blobsOf(id)).toEqual([]);
  });

  it("leaves the memory of the client's key, without data, for another day", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const { id, secret, stubs } = await telling(headers);
    await pass(id, MINUTE_MS + 1000);
    expect((await callJson(`/v1/predictions/${id}`, { key })).body).toMatchObject({
      status: "succeeded",
      data_removed: true,
      input: null,
      output: null,
      logs: "",
    });
    expect(await rowsWith(stubs.shard, secret)).toBe("");
    expect(JSON.stringify((await callJson("/v1/predictions", { key })).body)).not.toContain(id);
    await pass(id, 24 * 60 * MINUTE_MS);
    expect(await rowsWith(stubs.shard, id)).toBe("");
  });

  it("waits for another time when the bucket is away", async () => {
    const { id, stubs } = await telling();
    const list = vi.spyOn(testEnv.BLOBS, "list").mockRejectedValue(new Error("R2 is away"));
    await pass(id, MINUTE_MS + 1000);
    list.mockRestore();
    expect(await rowsWith(stubs.shard, id)).not.toBe("");
    await pass(id, MINUTE_MS);
    expect(await rowsWith(stubs.shard, id)).toBe("");
    expect(await blobsOf(id)).toEqual([]);
  });

  it("takes uploaded files, counted from their upload", async () => {
    const uploaded = await call("/v1/files?name=a.txt", {
      method: "POST",
      key,
      headers: { "content-type": "text/plain", "content-length": "5" },
      body: "hello",
    });
    const file = await uploaded.json<{ id: string; created_at: string; expires_at: string }>();
    expect(Date.parse(file.expires_at) - Date.parse(file.created_at)).toBe(MINUTE_MS);
    const left = async () => [
      await testEnv.DB.prepare("SELECT id FROM files WHERE id = ?").bind(file.id).first("id"),
      (await testEnv.BLOBS.list({ prefix: `files/${file.id}` })).objects.length,
    ];
    await sweepExpired(testEnv);
    expect(await left()).toEqual([file.id, 1]);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + MINUTE_MS + 1000 });
    expect((await callJson(`/v1/files/${file.id}`, { key })).status).toBe(404);
    await sweepExpired(testEnv);
    expect(await left()).toEqual([null, 0]);
  });

  it("is set by the operator, within bounds", async () => {
    const set = (account: string, retention: unknown) =>
      callJson(`/admin/v1/accounts/${account}`, {
        method: "PATCH",
        key: testEnv.ADMIN_KEY ?? "",
        body: { retention_s: retention },
      });
    await admin("/accounts", { name: "bounded" });
    for (const bad of [59, 30 * 86_400 + 1, 1.5, "1h"]) expect((await set("bounded", bad)).status).toBe(422);
    expect((await set("bounded", 30 * 86_400)).body).toMatchObject({ retention_s: 30 * 86_400 });
    expect((await set("bounded", null)).body).toMatchObject({ retention_s: 86_400 });
    expect((await set("nobody", 60)).status).toBe(404);
  });
});

describe("removing a prediction's data on request", () => {
  const remove = (id: string, as = key) => callJson(`/v1/predictions/${id}`, { method: "DELETE", key: as });

  it("takes it everywhere at once, and leaves the record", async () => {
    const { id, secret, stubs } = await telling({ "idempotency-key": "mine" });
    await expect.poll(() => rowsWith(stubs.sender, secret)).not.toBe("");
    const before = (await callJson(`/v1/predictions/${id}`, { key })).body;
    const [link] = before["output"] as string[];
    expect((await call(link ?? "")).status).toBe(200);
    expect((await remove(id)).status).toBe(204);
    for (const stub of Object.values(stubs)) expect(await rowsWith(stub, secret)).toBe("");
    expect(await blobsOf(id)).toEqual([]);
    expect((await call(link ?? "")).status).toBe(404);
    const after = (await callJson(`/v1/predictions/${id}`, { key })).body;
    expect(after).toMatchObject({ status: "succeeded", data_removed: true, input: null, output: null, logs: "" });
    expect(after["created_at"]).toBe(before["created_at"]);
    await expect
      .poll(async () => (await callJson("/v1/predictions", { key })).body["results"])
      .toContainEqual(expect.objectContaining({ id, data_removed: true }));
    expect((await remove(id)).status).toBe(204);
    const deliveries = await callJson(`/v1/predictions/${id}/webhooks`, { key });
    const [delivery] = deliveries.body["results"] as { webhook_id: string }[];
    const again = `/v1/predictions/${id}/webhooks/${delivery?.webhook_id ?? ""}/redeliver`;
    expect((await callJson(again, { method: "POST", key })).status).toBe(404);
  });

  it("does not come back with the same request again", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const input = { text: "x".repeat(20_000) };
    const create = () => callJson("/v1/predictions", { key, headers, body: { version: VERSION, input } });
    const id = String((await create()).body["id"]);
    await callJson(`/v1/predictions/${id}/cancel`, { method: "POST", key });
    expect((await create()).headers.get("idempotent-replayed")).toBe("true");
    expect(await blobsOf(id)).toHaveLength(1);
    expect((await remove(id)).status).toBe(204);
    expect((await create()).body).toMatchObject({ id, status: "canceled", data_removed: true, input: null });
    expect(await blobsOf(id)).toEqual([]);
  });

  it("is refused while it runs, and for others", async () => {
    const { body } = await callJson("/v1/predictions", { key, body: { version: VERSION, input: { text: "x" } } });
    const id = String(body["id"]);
    const running = await remove(id);
    expect([running.status, running.body["code"]]).toEqual([409, "conflict"]);
    await callJson(`/v1/predictions/${id}/cancel`, { method: "POST", key });
    const other = await remove(id, await newKey("other"));
    expect([other.status, other.body["code"]]).toEqual([404, "not_found"]);
    expect((await callJson(`/v1/predictions/${id}`, { key })).body).toMatchObject({ data_removed: false });
    expect((await remove(id)).status).toBe(204);
  });
});
