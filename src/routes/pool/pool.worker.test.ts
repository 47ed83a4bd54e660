import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";

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

describe("a pool's token", () => {
  it.each([undefined, "epp_wrong", `epp_${"x".repeat(43)}`])("is asked for (%j)", async (token) => {
    const { status, body } = await callJson("/pool/v1/claims", {
      method: "POST",
      body: {},
      ...(token === undefined ? {} : { key: token }),
    });
    expect([status, body["code"]]).toEqual([401, "unauthenticated"]);
  });

  it("is no API key, and an API key is none", async () => {
    expect((await call("/v1/predictions", { key: pool.key })).status).toBe(401);
    expect((await call("/pool/v1/claims", { method: "POST", key, body: {} })).status).toBe(401);
  });

  it("opens its own lanes only", async () => {
    const stranger = await FakePool.open(["elsewhere"]);
    await expect(stranger.claim(await create())).rejects.toThrow("out_of_scope");
    const path = `/pool/v1/models/acme/blobber/versions/${VERSION}`;
    expect((await call(path, { key: stranger.key })).status).toBe(404);
    expect((await callJson(path, { key: pool.key })).body).toMatchObject({ name: "blobber", version: VERSION });
  });
});

describe("a pool that can't read its log", () => {
  const say = async (from: FakePool, problem: string | null, lane = "default") =>
    call("/pool/v1/log-state", { method: "POST", key: from.key, body: { pool: "gpu-1", lane, problem } });
  const shown = async () => (await callJson("/admin/v1/log", { key: testEnv.ADMIN_KEY ?? "" })).body["unread"];

  it("is shown to the operator, until it can", async () => {
    const one = await FakePool.open();
    expect((await say(one, "wrong password")).status).toBe(204);
    expect((await say(one, "still the wrong password")).status).toBe(204);
    const since = expect.stringMatching(/^20/) as unknown;
    expect(await shown()).toEqual([{ pool: "gpu-1", lane: "default", problem: "still the wrong password", since }]);
    expect((await say(one, "not its lane", "elsewhere")).status).toBe(403);
    expect((await say(one, null)).status).toBe(204);
    expect(await shown()).toEqual([]);
  });

  it("fills no database: of one token 100 are kept, and a revoked token's aren't shown", async () => {
    const many = await FakePool.open();
    const names = Array.from({ length: 105 }, (_, index) => `gpu-${index}`);
    for (const pool of names) {
      const body = { pool, lane: "default", problem: "x" };
      expect((await call("/pool/v1/log-state", { method: "POST", key: many.key, body })).status).toBe(204);
    }
    expect(await shown()).toHaveLength(100);
    const count = await testEnv.DB.prepare("SELECT COUNT(*) AS rows FROM pool_log_problems").first();
    expect(count).toEqual({ rows: 100 });
    await testEnv.DB.prepare("UPDATE pool_tokens SET revoked_at = 1").run();
    expect(await shown()).toEqual([]);
    await testEnv.DB.prepare("UPDATE pool_tokens SET revoked_at = NULL").run();
    await testEnv.DB.prepare("DELETE FROM pool_log_problems").run();
  });
});

describe("calls of pools", () => {
  it.each([
    ["/pool/v1/claims", { session: "short", jobs: [] }],
    ["/pool/v1/claims", { session: "s".repeat(20), jobs: [{ id: "x", startNow: 1 }] }],
    ["/pool/v1/events", { session: "s".repeat(20), events: [{ type: "dance" }] }],
    ["/pool/v1/events", { session: "s".repeat(20), events: [{ type: "output", id: "x", token: "t", seq: 0 }] }],
  ])("refuses %s with %j", async (path, body) => {
    const answer = await callJson(path, { key: pool.key, body });
    expect([answer.status, answer.body["code"]]).toEqual([422, "invalid_input"]);
  });

  it("answers the empty heartbeat", async () => {
    const { status, body } = await callJson("/pool/v1/events", {
      key: pool.key,
      body: { session: pool.session, events: [] },
    });
    expect([status, body]).toEqual([200, { verdicts: [], cancel: [] }]);
  });

  it("refuses a heartbeat for the session of another token, and does not prolong its lease", async () => {
    const [owner, stranger] = [await FakePool.open(), await FakePool.open()];
    const headers = { upgrade: "websocket", "edgeplane-session": owner.session };
    (await call("/pool/v1/connect", { key: owner.key, headers })).webSocket?.accept();
    const session = testEnv.POOL.getByName(owner.session);
    const lastSeen = () =>
      runInDurableObject(session, (_object, state) => state.storage.kv.get<{ seenAt: number }>("known")?.seenAt);
    await runInDurableObject(session, (_object, state) => {
      const known = state.storage.kv.get<object>("known");
      state.storage.kv.put("known", { ...known, seenAt: 1 });
    });
    await evictDurableObject(session);
    const heartbeat = { session: owner.session, events: [] };
    const refused = await callJson("/pool/v1/events", { key: stranger.key, body: heartbeat });
    expect([refused.status, refused.body["code"], await lastSeen()]).toEqual([403, "forbidden", 1]);
    const late = { id: "0".repeat(26), token: "nobody", seq: 0, type: "log", text: "" };
    const busy = { ...heartbeat, heartbeat: true, events: [late] };
    expect((await callJson("/pool/v1/events", { key: stranger.key, body: busy })).status).toBe(200);
    expect((await callJson("/pool/v1/events", { key: owner.key, body: { ...busy, heartbeat: false } })).status).toBe(
      200,
    );
    expect(await lastSeen()).toBe(1);
    expect((await callJson("/pool/v1/events", { key: owner.key, body: busy })).status).toBe(200);
    expect(await lastSeen()).toBeGreaterThan(1);
  });

  it("takes no events where they come home through Redis only", async () => {
    const { status, body } = await callJson("/pool/v1/events", {
      key: pool.key,
      body: { session: pool.session, events: [] },
      env: { DELIVERY: "kv" },
    });
    expect([status, body["code"]]).toEqual([403, "forbidden"]);
    expect(body["detail"]).toContain("--delivery kv");
  });

  it("connects WebSockets and says what is missing otherwise", async () => {
    const plain = await callJson("/pool/v1/connect", { key: pool.key });
    expect([plain.status, plain.body["code"]]).toEqual([400, "invalid_request"]);
    const unnamed = await callJson("/pool/v1/connect", { key: pool.key, headers: { upgrade: "websocket" } });
    expect(unnamed.body["detail"]).toContain("edgeplane-session");
    const headers = { upgrade: "websocket", "edgeplane-session": pool.session };
    const response = await call("/pool/v1/connect", { key: pool.key, headers });
    expect(response.status).toBe(101);
    const socket = response.webSocket;
    socket?.accept();
    const answer = new Promise<unknown>((resolve) => {
      socket?.addEventListener("message", ({ data }) => resolve(JSON.parse(String(data))));
    });
    const hello = {
      session: pool.session,
      pool: "host",
      version: "1",
      lanes: ["default"],
      devices: [],
      models: [],
    };
    socket?.send(JSON.stringify({ type: "hello", protocol: 2, ...hello }));
    expect(await answer).toMatchObject({ type: "welcome" });
    socket?.close(1000, "done");
  });
});

describe("screening", () => {
  it("is not asked of the store for a warm pool", async () => {
    const prepare = testEnv.DB.prepare.bind(testEnv.DB);
    let asked = 0;
    const DB = new Proxy(testEnv.DB, {
      get: (target, name) => (name === "prepare" ? ((asked += 1), prepare) : (Reflect.get(target, name) as unknown)),
    });
    const body = { session: pool.session, events: [] };
    await callJson("/pool/v1/events", { key: pool.key, body, env: { DB } });
    const first = asked;
    await callJson("/pool/v1/events", { key: pool.key, body, env: { DB } });
    expect(asked).toBe(first);
  });
});
