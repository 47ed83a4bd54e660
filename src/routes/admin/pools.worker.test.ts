/** The operator's list of pools: by what they said, with what their lanes know of them. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import { admin, call, callJson, testEnv } from "../../../test/worker/edge-harness.ts";
import { PROTOCOL } from "../../contract/channel.ts";
import type { PoolMessage } from "../../contract/channel.ts";
import { SESSION_HEADER } from "../../contract/claim.ts";
import { ManifestSchema } from "../../contract/manifest.ts";
import { Lane } from "../../lane/lane.ts";
import { listPools, notePool, notePoolState } from "../../registry/pools.ts";

const VERSION = "e".repeat(64);
const OTHER = "f".repeat(64);
const key = testEnv.ADMIN_KEY ?? "";

type Pool = Record<string, unknown> & { session: string };
const list = async (query = ""): Promise<{ results: Pool[]; next_cursor: string | null }> => {
  const { status, body } = await callJson(`/admin/v1/pools${query}`, { key });
  expect(status).toBe(200);
  return body as { results: Pool[]; next_cursor: string | null };
};
const find = async (session: string, query = "") =>
  (await list(query)).results.find((pool) => pool.session === session);
const newToken = async (lanes: string[]) =>
  (await admin("/pool-tokens", { name: "rack", lanes })) as { id: string; token: string };

function helloOf(session: string, lanes: string[], more: object = {}): Extract<PoolMessage, { type: "hello" }> {
  const models = [VERSION, OTHER].map((version) => ManifestSchema.parse({ owner: "local", name: "echo", version }));
  return {
    ...{
      type: "hello",
      protocol: PROTOCOL,
      session,
      pool: "box-1",
      version: "0.1.0",
      lanes,
      isolation: "user",
      models,
    },
    devices: [
      { id: "0", kind: "cuda", name: "NVIDIA H200", memoryBytes: 150_000_000_000 },
      { id: "1", kind: "cuda", name: "NVIDIA H200", memoryBytes: null, problem: "GPU 1 is missing" },
    ],
    ...more,
  };
}

async function connect(session: string, token: string): Promise<(message: PoolMessage) => void> {
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, authorization: `Bearer ${token}` };
  const { webSocket } = await call("/pool/v1/connect", { headers });
  if (webSocket === null) throw new Error("no socket came back");
  webSocket.accept();
  return (message) => webSocket.send(JSON.stringify(message));
}

it("tells what a pool said of itself, what its lane knows of its models, and what became of it", async () => {
  const { id, token } = await newToken(["pools-a"]);
  const session = "session-pools-a";
  const say = await connect(session, token);
  say(helloOf(session, ["pools-a"]));
  const model = { model: "local/echo", room: 4, startNow: 2, readyInMs: 0 };
  const models = [
    { ...model, version: VERSION, problem: null },
    { ...model, version: OTHER, room: 0, startNow: 0, problem: `no memory ${"x".repeat(1000)}` },
  ];
  say({ type: "room", n: 1, full: true, lanes: [{ lane: "pools-a", models, seen: [], ended: [] }] });
  await expect.poll(async () => (await find(session, "?room=true"))?.["is_heard"]).toBe(true);
  expect(await find(session, "?room=true")).toMatchObject({
    ...{ name: "box-1", token: { id, name: "rack" }, version: "0.1.0", state: "connected", lanes: ["pools-a"] },
    devices: [
      { id: "0", kind: "cuda", name: "NVIDIA H200", memory_bytes: 150_000_000_000, problem: null },
      { id: "1", kind: "cuda", name: "NVIDIA H200", memory_bytes: null, problem: "GPU 1 is missing" },
    ],
    isolation: "user",
    models: [
      { model: "local/echo", version: VERSION, room: 4, starts_now: 2, ready_in_ms: 0, problem: null },
      {
        model: "local/echo",
        version: OTHER,
        room: 0,
        starts_now: 0,
        ready_in_ms: 0,
        problem: `no memory ${"x".repeat(290)}`,
      },
    ],
  });
  const wanted = async () => {
    const known = (await find(session, "?room=true"))?.["models"] as Pool[] | undefined;
    return known?.map((one) => one["is_wanted"]);
  };
  expect(await wanted()).toEqual([undefined, undefined]);
  // A version that was pushed and is deleted stays on a pool for a while: its problems are none of the pool's.
  await testEnv.DB.prepare(
    `INSERT INTO bundles (owner, name, version, manifest, lane, files, bytes, nonce, wants_latest, pushed_at, deleted_at)
     VALUES ('local', 'echo', ?, '{}', 'pools-a', 1, 1, 'n', 0, 1, 1)`,
  )
    .bind(OTHER)
    .run();
  expect(await wanted()).toEqual([undefined, false]);
  expect(await find(session)).toMatchObject({
    is_heard: null,
    models: [
      { model: "local/echo", version: VERSION },
      { model: "local/echo", version: OTHER },
    ],
  });
  say({ type: "draining" });
  await expect.poll(async () => (await find(session))?.["state"]).toBe("draining");
  expect(await find(session, "?room=true")).toMatchObject({ is_heard: false, models: [{ version: VERSION }, {}] });
  await testEnv.POOL.getByName(session).supersede(id);
  await expect.poll(async () => (await find(session, "?ended=true"))?.["state"]).toBe("ended");
  expect(await find(session)).toBeUndefined();
});

it("says that a pool is away whose channel broke, and that it ended when its lease is over", async () => {
  const { token } = await newToken(["pools-b"]);
  const session = "session-pools-b";
  const say = await connect(session, token);
  say(helloOf(session, ["pools-b"]));
  await expect.poll(async () => (await find(session))?.["state"]).toBe("connected");
  // The token has no right to that lane: the edge closes the channel.
  say(helloOf(session, ["other-lane"]));
  await expect.poll(async () => (await find(session))?.["state"]).toBe("away");
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
  await runDurableObjectAlarm(testEnv.POOL.getByName(session));
  vi.useRealTimers();
  await expect.poll(async () => (await find(session, "?ended=true"))?.["state"]).toBe("ended");
});

it("leaves out what a lane knows that hangs, and tells what others know", async () => {
  const lanes = ["pools-well", "pools-sick"];
  const { token } = await newToken(lanes);
  for (const lane of lanes) {
    const say = await connect(`session-${lane}`, token);
    say(helloOf(`session-${lane}`, [lane]));
    await expect.poll(async () => (await find(`session-${lane}`))?.["lanes"]).toEqual([lane]);
  }
  const rooms = vi.spyOn(Lane.prototype, "rooms").mockImplementation((lane) => {
    if (lane === "pools-sick") return new Promise(() => {});
    return Promise.resolve([{ session: "session-pools-well", isHeard: true, models: [] }]);
  });
  const told = (await list("?room=true")).results;
  rooms.mockRestore();
  const isHeard = (lane: string) => told.find(({ session }) => session === `session-${lane}`)?.["is_heard"];
  expect(lanes.map(isHeard)).toEqual([true, false]);
});

it("comes in pages", async () => {
  const { id } = await newToken(["pools-c"]);
  for (let n = 0; n < 3; n += 1) await notePool(testEnv, id, helloOf(`session-page-${n}`, ["pools-c"]));
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await list(`?limit=1${cursor === null ? "" : `&cursor=${cursor}`}`);
    expect(page.results.length).toBeLessThanOrEqual(1);
    seen.push(...page.results.map(({ session }) => session));
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(seen.filter((session) => session.startsWith("session-page-"))).toHaveLength(3);
  expect(new Set(seen).size).toBe(seen.length);
  expect((await list("?ended=true")).results.map(({ session }) => session)).not.toContain("session-page-0");
  // The pools of a token that was revoked are nobody's.
  expect((await call(`/admin/v1/pool-tokens/${id}`, { method: "DELETE", key })).ok).toBe(true);
  expect((await list()).results.map(({ session }) => session)).not.toContain("session-page-0");
  expect((await callJson("/admin/v1/pools?limit=101", { key })).status).toBe(400);
  expect((await call("/admin/v1/pools")).status).toBe(401);
});

it("keeps the last sessions of a token that are over, and one at a time of a pool that starts again", async () => {
  const { id } = await newToken(["pools-d"]);
  for (let n = 0; n < 30; n += 1) {
    const previous = n === 0 ? {} : { previous: `session-life-${n - 1}` };
    if (n > 0) await notePoolState(testEnv, `session-life-${n - 1}`, "ended");
    await notePool(testEnv, id, helloOf(`session-life-${n}`, ["pools-d"], n < 25 ? {} : previous));
  }
  const of = async (ended: boolean) =>
    (await listPools(testEnv.DB, { after: null, limit: 1000, ended })).filter(({ token }) => token === id);
  expect((await of(false)).map(({ session }) => session)).toEqual(["session-life-29"]);
  expect((await of(true)).length).toBeLessThanOrEqual(21);
  // Another token can't take the row over.
  await notePool(testEnv, "another", helloOf("session-life-29", ["elsewhere"]));
  expect((await of(false))[0]?.lanes).toEqual(["pools-d"]);
});
