/** A pool session while others take long to answer it: it may end, or be asked something, meanwhile. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { PROTOCOL } from "../contract/channel.ts";
import type { PoolMessage } from "../contract/channel.ts";
import { SESSION_HEADER } from "../contract/claim.ts";
import type { Env } from "../env.ts";
import { Lane } from "../lane/lane.ts";
import { Scaler } from "../scaling/object/scaler.ts";
import { log } from "../telemetry/log.ts";
import { IDENTITY_HEADER } from "./pool-session.ts";

const edge = env as Env;
const SESSION = "session-forgotten";

async function storeToken(id: string): Promise<void> {
  const columns = "id, name, hash, hint, lanes, may_register_models, created_at";
  await edge.DB.prepare(`INSERT INTO pool_tokens (${columns}) VALUES (?, '', ?, '', '[]', 0, 0)`).bind(id, id).run();
}

it("leaves nothing of it behind", async () => {
  await storeToken("forgotten");
  const gate = Promise.withResolvers<void>();
  const told = vi.spyOn(Scaler.prototype, "pool").mockImplementation(async ({ type }) => {
    if (type === "ended") return;
    await gate.promise;
    throw new Error("the scaler is being reset");
  });
  const warned = vi.spyOn(log, "warn");
  const identity = { poolTokenId: "forgotten", lanes: ["lane-f"], mayRegisterModels: false, machine: "m000000000001" };
  const headers = { upgrade: "websocket", [SESSION_HEADER]: SESSION, [IDENTITY_HEADER]: JSON.stringify(identity) };
  const stub = edge.POOL.getByName(SESSION);
  const { webSocket: socket } = await stub.fetch("https://edge.test/", { headers });
  socket?.accept();
  const greeting = { session: SESSION, pool: "host", version: "0", lanes: ["lane-f"], devices: [], models: [] };
  socket?.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, ...greeting } satisfies PoolMessage));
  await expect.poll(() => told.mock.calls.length).toBeGreaterThan(0);
  await stub.supersede("forgotten");
  gate.resolve();
  await expect.poll(() => warned.mock.calls.map(([event]) => event)).toContain("scaler_not_told");
  const left = await runInDurableObject(stub, async (_object, { storage }) => [
    storage.kv.get("known"),
    await storage.getAlarm(),
  ]);
  expect(left).toEqual([undefined, null]);
  told.mockRestore();
  warned.mockRestore();
});

it("keeps claims to stop that come while it asks whether the pool's token holds", async () => {
  const session = "session-greeted-late";
  const claim = { id: "0".repeat(26), token: "token" };
  const identity = { poolTokenId: "greeted-late", lanes: ["lane-l"], mayRegisterModels: false };
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, [IDENTITY_HEADER]: JSON.stringify(identity) };
  const stub = edge.POOL.getByName(session);
  let [isAsked, isAnswered] = [false, false];
  await runInDurableObject(stub, (object) => {
    const own = Reflect.get(object, "env") as Env;
    const first = async (): Promise<object> => {
      Object.assign(object, { env: own });
      isAsked = true;
      await expect.poll(() => isAnswered).toBe(true);
      return {};
    };
    Object.assign(object, { env: { ...own, DB: { prepare: () => ({ bind: () => ({ first }) }) } } });
  });
  const { webSocket: socket } = await stub.fetch("https://edge.test/", { headers });
  const types: string[] = [];
  socket?.addEventListener("message", ({ data }) => void types.push(String(data).split('"')[3] ?? ""));
  socket?.accept();
  const greeting = { session, pool: "host", version: "0", lanes: ["lane-l"], devices: [], models: [] };
  socket?.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, ...greeting } satisfies PoolMessage));
  await expect.poll(() => isAsked).toBe(true);
  await stub.stop([claim]);
  isAnswered = true;
  await expect.poll(() => types).toContain("welcome");
  await expect.poll(() => types).toEqual(["cancel", "welcome", "cancel"]);
});

it("welcomes no pool whose channel was closed while the scaler was told of it", async () => {
  const session = "session-closed-early";
  await storeToken("left");
  const gate = Promise.withResolvers<void>();
  const told = vi.spyOn(Scaler.prototype, "pool").mockImplementation(async ({ type }) => {
    if (type !== "ended") await gate.promise;
  });
  const identity = { poolTokenId: "left", lanes: ["lane-e"], mayRegisterModels: false, machine: "m000000000002" };
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, [IDENTITY_HEADER]: JSON.stringify(identity) };
  const stub = edge.POOL.getByName(session);
  /** Whether its messages were dealt with. */
  const dealtWith: boolean[] = [];
  await runInDurableObject(stub, (object) => {
    const hear: unknown = Reflect.get(object, "webSocketMessage");
    Object.assign(object, {
      async webSocketMessage(socket: WebSocket, data: string): Promise<void> {
        try {
          if (typeof hear === "function") await Reflect.apply(hear, object, [socket, data]);
          dealtWith.push(true);
        } catch {
          dealtWith.push(false);
        }
      },
    });
  });
  const { webSocket: socket } = await stub.fetch("https://edge.test/", { headers });
  socket?.accept();
  const greeting = { session, pool: "host", version: "0", lanes: ["lane-e"], devices: [], models: [] };
  socket?.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, ...greeting } satisfies PoolMessage));
  await expect.poll(() => told.mock.calls.length).toBeGreaterThan(0);
  await stub.supersede("left");
  gate.resolve();
  await expect.poll(() => dealtWith).toEqual([true]);
  told.mockRestore();
});

it("lets its pool come back as another session though one of its lanes can't be told", async () => {
  const lanes = ["lane-sick", "lane-well"];
  await storeToken("back");
  const types: string[] = [];
  const connect = async (session: string, previous?: string): Promise<void> => {
    const identity = { poolTokenId: "back", lanes, mayRegisterModels: false };
    const headers = { upgrade: "websocket", [SESSION_HEADER]: session, [IDENTITY_HEADER]: JSON.stringify(identity) };
    const { webSocket: socket } = await edge.POOL.getByName(session).fetch("https://edge.test/", { headers });
    socket?.addEventListener("message", ({ data }) => void types.push(`${session} ${String(data).split('"')[3]}`));
    socket?.accept();
    const greeting = { session, pool: "host", version: "0", lanes, devices: [], models: [], previous };
    socket?.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, ...greeting }));
  };
  await connect("session-before-back");
  await expect.poll(() => types).toContain("session-before-back welcome");
  const told: string[] = [];
  let isSick = true;
  const gone = vi.spyOn(Lane.prototype, "gone").mockImplementation((lane) => {
    if (isSick && lane === "lane-sick") throw new Error("the lane is being reset");
    told.push(lane);
  });
  await connect("session-back", "session-before-back");
  await expect.poll(() => types).toContain("session-back welcome");
  const before = edge.POOL.getByName("session-before-back");
  expect((await before.check([])).alive).toBe(false);
  expect(told).toContain("lane-well");
  expect(told).not.toContain("lane-sick");
  isSick = false;
  expect(await runDurableObjectAlarm(before)).toBe(true);
  expect(told).toContain("lane-sick");
  gone.mockRestore();
});

it("keeps its pool from no other session when it hangs", async () => {
  const session = "session-after-sick";
  await storeToken("after");
  const identity = { poolTokenId: "after", lanes: ["lane-a"], mayRegisterModels: false };
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, [IDENTITY_HEADER]: JSON.stringify(identity) };
  const stub = edge.POOL.getByName(session);
  await runInDurableObject(stub, (object) => {
    const POOL = { getByName: () => ({ supersede: () => new Promise<never>(() => {}) }) };
    Object.assign(object, { env: { ...(Reflect.get(object, "env") as Env), POOL } });
  });
  const { webSocket: socket } = await stub.fetch("https://edge.test/", { headers });
  const types: string[] = [];
  socket?.addEventListener("message", ({ data }) => void types.push(String(data).split('"')[3] ?? ""));
  socket?.accept();
  const previous = "session-sick";
  const greeting = { session, pool: "host", version: "0", lanes: ["lane-a"], devices: [], models: [], previous };
  socket?.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, ...greeting }));
  await expect.poll(() => types).toContain("welcome");
});
