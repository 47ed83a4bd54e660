/** A pool session as an object in workerd: its channel, its lease, what it tells lanes and pools. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, expect, it, vi } from "vitest";
import { EdgeMessageSchema, PROTOCOL } from "../contract/channel.ts";
import type { EdgeMessage, PoolMessage } from "../contract/channel.ts";
import { SESSION_HEADER } from "../contract/claim.ts";
import type { Grant } from "../contract/claim.ts";
import type { Env } from "../env.ts";
import { Lane } from "../lane/lane.ts";
import { Scaler } from "../scaling/object/scaler.ts";
import { IDENTITY_HEADER } from "./pool-session.ts";

const edge = env as Env;
const grant: Grant = {
  ...{ id: "0".repeat(26), verdict: "granted", token: "token", attempt: 1, startNow: true, alone: false },
  ...{ model: { owner: "local", name: "echo", version: "v" }, input: { text: "hi" } },
  ...{ startInMs: 1000, endInMs: 1000, cost: 1, stream: false, seq: 0 },
};
const claim = { id: "0".repeat(26), token: "token" };

type Channel = { socket: WebSocket; session: string; next(): Promise<EdgeMessage>; closed: Promise<CloseEvent> };

async function open(session: string, lanes: string[], poolTokenId = "t", machine?: string): Promise<WebSocket> {
  const identity = JSON.stringify({ poolTokenId, lanes, mayRegisterModels: false, machine });
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, [IDENTITY_HEADER]: identity };
  const { webSocket } = await edge.POOL.getByName(session).fetch("https://edge.test/", { headers });
  if (webSocket === null) throw new Error("no socket came back");
  return webSocket;
}

async function connect(session: string, lanes: string[], poolTokenId = "t", machine?: string): Promise<Channel> {
  const socket = await open(session, lanes, poolTokenId, machine);
  const arrived: EdgeMessage[] = [];
  const waiting: ((message: EdgeMessage) => void)[] = [];
  socket.addEventListener("message", ({ data }) => {
    if (data === "pong") return;
    const message = EdgeMessageSchema.parse(JSON.parse(String(data)));
    const waiter = waiting.shift();
    if (waiter === undefined) arrived.push(message);
    else waiter(message);
  });
  const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener("close", resolve));
  socket.accept();
  const next = async () => arrived.shift() ?? new Promise<EdgeMessage>((resolve) => void waiting.push(resolve));
  return { socket, session, next, closed };
}

type Hello = Extract<PoolMessage, { type: "hello" }>;

function hello({ session }: Channel, lanes: string[], more: Partial<Hello> = {}): string {
  const message: PoolMessage = {
    type: "hello",
    protocol: PROTOCOL,
    session,
    pool: "host",
    version: "0",
    lanes,
    devices: [],
    models: [],
    ...more,
  };
  return JSON.stringify(message);
}

/** Tokens as the operator makes them. */
async function makeToken(id: string): Promise<void> {
  const insert =
    "INSERT INTO pool_tokens (id, name, hash, hint, lanes, may_register_models, created_at) VALUES (?1, '', ?1, '', '[]', 0, 0)";
  await edge.DB.prepare(insert).bind(id).run();
}

beforeAll(async () => {
  await makeToken("t");
});

const sessionsOf = async (lane: string) => (await edge.LANE.getByName(lane).stats()).sessions;

/** The pool says hello and states its room; resolves once its lane knows. */
async function enter(channel: Channel, lane: string, more: Partial<Hello> = {}, sessions = 1): Promise<void> {
  channel.socket.send(hello(channel, [lane], more));
  await channel.next();
  const models = [{ model: "local/echo", version: "v", room: 4, startNow: 2, readyInMs: 0, problem: null }];
  const room: PoolMessage = { type: "room", n: 1, full: true, lanes: [{ lane, models, seen: [], ended: [] }] };
  channel.socket.send(JSON.stringify(room));
  await expect.poll(() => sessionsOf(lane)).toBe(sessions);
}

it("welcomes a pool, tells its lanes of its room, and passes grants, nudges, cancellations and probes on", async () => {
  const channel = await connect("session-hello", ["lane-a"]);
  channel.socket.send(hello(channel, ["lane-a"]));
  expect(await channel.next()).toMatchObject({ type: "welcome", leaseMs: 15_000, registersModels: false });
  await enter(channel, "lane-a");
  const stub = edge.POOL.getByName(channel.session);
  expect(await stub.grant([grant])).toBe(true);
  expect(await channel.next()).toEqual({ type: "grants", grants: [grant] });
  await stub.work("lane-a");
  expect(await channel.next()).toEqual({ type: "work", lane: "lane-a" });
  await stub.stop([claim]);
  expect(await channel.next()).toEqual({ type: "cancel", claims: [claim] });
  expect(await stub.check([claim])).toMatchObject({ alive: true });
  expect(await channel.next()).toEqual({ type: "probe", claims: [claim] });
});

it("tells a lane of the pool's room again when the lane did not take it", async () => {
  const tell = vi.spyOn(Lane.prototype, "tell").mockRejectedValueOnce(new Error("the lane is away"));
  const channel = await connect("session-missed", ["lane-missed"]);
  await enter(channel, "lane-missed");
  expect(tell.mock.calls.length).toBe(2);
  tell.mockRestore();
});

it("asks again soon while nobody was heard on the channel: what it sent there may have reached nobody", async () => {
  const channel = await connect("session-unheard", ["lane-unheard"]);
  const stub = edge.POOL.getByName(channel.session);
  expect((await stub.check([claim])).remainingMs).toBeLessThanOrEqual(1000);
  expect(await stub.touch("t")).toBe(true);
  expect((await stub.check([claim])).remainingMs).toBeLessThanOrEqual(1000);
  channel.socket.send(hello(channel, ["lane-unheard"]));
  await expect.poll(async () => (await stub.check([claim])).remainingMs).toBeGreaterThan(10_000);
  await runInDurableObject(stub, (_object, state) => {
    for (const socket of state.getWebSockets()) socket.serializeAttachment(Date.now() - 11_000);
  });
  expect((await stub.check([claim])).remainingMs).toBeLessThanOrEqual(1000);
  channel.socket.send("ping");
  await expect.poll(async () => (await stub.check([claim])).remainingMs).toBeGreaterThan(10_000);
});

it("tells a pool that parks its events when the edge has no Redis", async () => {
  const channel = await connect("session-parks", ["lane-kv"]);
  const kv = { prefix: "edgeplane:", probe: "probe" };
  channel.socket.send(JSON.stringify({ ...(JSON.parse(hello(channel, ["lane-kv"])) as object), kv }));
  const welcome = await channel.next();
  expect(welcome).toMatchObject({ type: "welcome", eventsOpen: true, kv: { final: true } });
  expect(JSON.stringify(welcome)).toContain("KV_REST_URL");
});

it("closes the channel of a pool that asks for a lane outside its token, and of one that talks nonsense", async () => {
  const greedy = await connect("session-greedy", ["lane-b"]);
  greedy.socket.send(hello(greedy, ["lane-b", "lane-of-others"]));
  expect((await greedy.closed).code).toBe(4403);
  const confused = await connect("session-confused", ["lane-b"]);
  confused.socket.send("{}");
  expect((await confused.closed).code).toBe(4400);
});

it("takes a draining pool's room away at once", async () => {
  const channel = await connect("session-drains", ["lane-c"]);
  await enter(channel, "lane-c");
  channel.socket.send(JSON.stringify({ type: "draining" } satisfies PoolMessage));
  await expect.poll(() => sessionsOf("lane-c")).toBe(0);
});

it("is over once a pool that drained has taken its leave, and only then", async () => {
  const channel = await connect("session-took-leave", ["lane-t"]);
  await enter(channel, "lane-t");
  const stub = edge.POOL.getByName(channel.session);
  channel.socket.send(JSON.stringify({ type: "draining" } satisfies PoolMessage));
  await expect.poll(() => sessionsOf("lane-t")).toBe(0);
  expect((await stub.check([], true)).alive).toBe(true);
  channel.socket.close(1000);
  await expect.poll(async () => (await stub.check([], true)).alive).toBe(false);
});

it("tells the scaler again that a machine's pool has come, and that it is over, until it is taken", async () => {
  const told = vi.spyOn(Scaler.prototype, "pool");
  const hours = (sinceMs = 0) => Math.round((Date.now() - sinceMs) / 3_600_000);
  const heard = () => told.mock.calls.map(([news]) => [news.type, news.session, hours(news.meteredFromMs)]);
  const fail = () => Promise.reject(new Error("the scaler is being reset"));
  told.mockImplementation(fail);
  const channel = await connect("session-of-machine", ["lane-m"], "t", "m000000000000");
  await enter(channel, "lane-m", { meteredMs: 3_600_000 });
  const stub = edge.POOL.getByName(channel.session);
  const alarm = () => runInDurableObject(stub, (_object, { storage }) => storage.getAlarm());
  for (const type of ["connected", "ended"]) {
    await expect.poll(() => heard().at(-1)).toEqual([type, channel.session, 1]);
    await expect.poll(alarm).not.toBeNull();
    if (type === "connected") await evictDurableObject(stub);
    told.mockReset().mockResolvedValue();
    const dropped = await runInDurableObject(stub, (_object, { storage }) => vi.spyOn(storage, "deleteAlarm"));
    await runDurableObjectAlarm(stub);
    // An object that is reset while it tells the scaler still has its alarm.
    if (type === "connected")
      expect(told.mock.invocationCallOrder[0]).toBeLessThan(Number(dropped.mock.invocationCallOrder.at(-1)));
    expect(heard()).toEqual([[type, channel.session, 1]]);
    expect(await alarm()).toBeNull();
    if (type === "ended") break;
    told.mockReset().mockImplementation(fail);
    channel.socket.send(JSON.stringify({ type: "draining" } satisfies PoolMessage));
    channel.socket.close(1000);
  }
  told.mockRestore();
});

it("holds the lease of a pool that only pings", async () => {
  const channel = await connect("session-pings", ["lane-d"]);
  const stub = edge.POOL.getByName(channel.session);
  await runInDurableObject(stub, (_object, state) => age(state, 14_000));
  await evictDurableObject(stub);
  expect((await stub.check([])).remainingMs).toBeLessThan(2000);
  channel.socket.send("ping");
  await expect.poll(async () => (await stub.check([])).remainingMs).toBeGreaterThan(10_000);
});

it("takes away the room of a pool whose channel closes, and later its lease", async () => {
  const channel = await connect("session-gone", ["lane-e"]);
  await enter(channel, "lane-e");
  const stub = edge.POOL.getByName(channel.session);
  channel.socket.close(1000);
  await expect.poll(() => sessionsOf("lane-e")).toBe(0);
  expect(await stub.grant([grant])).toBe(false);
  await expect.poll(() => runDurableObjectAlarm(stub)).toBe(true);
  expect((await stub.check([])).alive).toBe(true);
  await runInDurableObject(stub, (_object, state) => age(state, 20_000));
  await evictDurableObject(stub);
  expect((await stub.check([], true)).alive).toBe(false);
  expect((await stub.check([])).alive).toBe(false);
});

it("keeps a session to the pool token that opened it", async () => {
  await connect("session-owned", ["lane-f"]);
  const identity = JSON.stringify({ poolTokenId: "another", lanes: ["lane-f"], mayRegisterModels: false });
  const headers = { upgrade: "websocket", [SESSION_HEADER]: "session-owned", [IDENTITY_HEADER]: identity };
  const answer = await edge.POOL.getByName("session-owned").fetch("https://edge.test/", { headers });
  expect(answer.status).toBe(403);
});

it("ends the lease of a session that another of the same token succeeds, and of no other", async () => {
  const [old, foreign] = [await connect("session-before", ["lane-g"]), await connect("session-foreign", ["lane-g"])];
  await edge.POOL.getByName(foreign.session).supersede("another token");
  const channel = await connect("session-after", ["lane-g"]);
  channel.socket.send(JSON.stringify({ ...JSON.parse(hello(channel, ["lane-g"])), previous: old.session }));
  await channel.next();
  expect((await edge.POOL.getByName(old.session).check([])).alive).toBe(false);
  expect((await edge.POOL.getByName(foreign.session).check([])).alive).toBe(true);
});

it("ends the session of a pool whose token was revoked, however it pings, and says hello to none", async () => {
  await makeToken("revoked");
  const channel = await connect("session-revoked", ["lane-h"], "revoked");
  await enter(channel, "lane-h");
  const stub = edge.POOL.getByName(channel.session);
  expect((await stub.check([])).alive).toBe(true);
  await edge.DB.prepare("UPDATE pool_tokens SET revoked_at = 1 WHERE id = 'revoked'").run();
  // Longer than an isolate remembers it, and less than a lease.
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 10_500 });
  const late = await connect("session-revoked-late", ["lane-h"], "revoked");
  late.socket.send(hello(late, ["lane-h"]));
  expect((await late.closed).code).toBe(4403);
  expect((await stub.check([])).alive).toBe(false);
  expect((await channel.closed).code).toBe(4409);
  expect(await sessionsOf("lane-h")).toBe(0);
  vi.useRealTimers();
});

it("tells a pool that has connected again what it could not be told", async () => {
  const first = await connect("session-returns", ["lane-r"]);
  first.socket.send(hello(first, ["lane-r"]));
  await first.next();
  first.socket.close(1000);
  const stub = edge.POOL.getByName(first.session);
  await expect.poll(() => runInDurableObject(stub, (_object, { storage }) => storage.getAlarm())).not.toBeNull();
  await stub.stop([claim]);
  await evictDurableObject(stub);
  const second = await connect("session-returns", ["lane-r"]);
  second.socket.send(hello(second, ["lane-r"]));
  expect(await second.next()).toMatchObject({ type: "welcome" });
  expect(await second.next()).toEqual({ type: "cancel", claims: [claim] });
  second.socket.send(hello(second, ["lane-r"]));
  expect(await second.next()).toMatchObject({ type: "welcome" });
  await stub.work("lane-r");
  expect(await second.next()).toMatchObject({ type: "work" });
});

it("asks a pool that has connected again what it may not have been asked", async () => {
  const first = await connect("session-asked", ["lane-q"]);
  first.socket.send(hello(first, ["lane-q"]));
  await first.next();
  first.socket.send("ping");
  await edge.POOL.getByName(first.session).check([claim]);
  const second = await connect("session-asked", ["lane-q"]);
  second.socket.send(hello(second, ["lane-q"]));
  expect(await second.next()).toMatchObject({ type: "welcome" });
  expect(await second.next()).toEqual({ type: "probe", claims: [claim] });
});

it("reaches a pool beside a connection of it that never closed", async () => {
  // Nobody reads from it any more, so that its closing is never answered.
  await open("session-twice", ["lane-t"]);
  const channel = await connect("session-twice", ["lane-t"]);
  channel.socket.send(hello(channel, ["lane-t"]));
  await channel.next();
  const stub = edge.POOL.getByName(channel.session);
  await stub.work("lane-t");
  expect(await channel.next()).toEqual({ type: "work", lane: "lane-t" });
});

it("passes on that something changed to pools that hear of it, and to no others", async () => {
  const [hearing, deaf] = [await connect("session-hearing", ["lane-n"]), await connect("session-deaf", ["lane-n"])];
  await enter(deaf, "lane-n");
  await enter(hearing, "lane-n", { hears: ["configurations"] }, 2);
  const lane = edge.LANE.getByName("lane-n");
  expect(await lane.nudge("lane-n", "models")).toBe(2);
  expect(await lane.nudge("lane-n", "configurations")).toBe(2);
  expect(await hearing.next()).toEqual({ type: "configurations" });
  await edge.POOL.getByName(deaf.session).nudge("configurations");
  await edge.POOL.getByName(deaf.session).stop([claim]);
  expect(await deaf.next()).toEqual({ type: "cancel", claims: [claim] });
});

it("asks a pool to leave that hears of it, and sends nothing more to one that doesn't", async () => {
  const [hearing, deaf] = [await connect("session-leaves", ["lane-l"]), await connect("session-stays", ["lane-l"])];
  await enter(hearing, "lane-l", { hears: ["leave"] });
  await enter(deaf, "lane-l", {}, 2);
  await edge.POOL.getByName(hearing.session).drain(7000);
  expect(await hearing.next()).toEqual({ type: "leave", withinMs: 7000 });
  expect(await sessionsOf("lane-l")).toBe(2);
  await edge.POOL.getByName(deaf.session).drain(7000);
  expect(await sessionsOf("lane-l")).toBe(1);
});

it("tells its end again when a lane could not be told", async () => {
  const channel = await connect("session-ends", ["lane-u"]);
  await enter(channel, "lane-u");
  const stub = edge.POOL.getByName(channel.session);
  const told = vi.spyOn(Lane.prototype, "gone").mockImplementation(() => {
    throw new Error("the lane is being reset");
  });
  channel.socket.close(1000);
  await expect.poll(() => runInDurableObject(stub, (_object, { storage }) => storage.getAlarm())).not.toBeNull();
  await runInDurableObject(stub, (_object, state) => age(state, 20_000));
  await evictDurableObject(stub);
  await runDurableObjectAlarm(stub);
  expect(told).toHaveBeenCalled();
  told.mockRestore();
  expect(await sessionsOf("lane-u")).toBe(1);
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  expect(await sessionsOf("lane-u")).toBe(0);
});

it("refuses the hello of a pool that speaks no protocol of the edge, and says what to do", async () => {
  const said = async (session: string, change: object) => {
    const channel = await connect(session, ["lane-v"]);
    channel.socket.send(JSON.stringify({ ...(JSON.parse(hello(channel, ["lane-v"])) as object), ...change }));
    const { code, reason } = await channel.closed;
    return [code, reason];
  };
  expect(await said("session-oldest", { protocol: undefined, slots: 4, maxBatchSize: 8 })).toEqual([
    4400,
    `this pool's protocol is 1, the edge's ${PROTOCOL}: upgrade it to the edge's release, then start it again`,
  ]);
  const newer = { protocol: PROTOCOL + 2, oldestProtocol: PROTOCOL + 1, devices: "in another form" };
  expect(await said("session-newest", newer)).toEqual([
    4400,
    `this pool's protocol is ${PROTOCOL + 2}, the edge's ${PROTOCOL}: upgrade the edge, or run the pool of its release`,
  ]);
});

it("speaks with a pool of the next release by the protocol that both know, and leaves alone what it doesn't know", async () => {
  const channel = await connect("session-newer", ["lane-y"]);
  channel.socket.send(JSON.stringify({ type: "of a later release", lanes: 7 }));
  const newer = { protocol: PROTOCOL + 1, oldestProtocol: PROTOCOL, hears: ["a later thing"], of: "a later release" };
  channel.socket.send(JSON.stringify({ ...(JSON.parse(hello(channel, ["lane-y"])) as object), ...newer }));
  expect(await channel.next()).toMatchObject({ type: "welcome", protocol: PROTOCOL });
});

it("says to a lane that it is gone when the lane asks a session that it doesn't know", async () => {
  await edge.LANE.getByName("lane-w").tell("lane-w", {
    ...{ session: "session-nobody", n: 1, full: true, seen: [], ended: [] },
    models: [{ model: "local/echo", version: "v", room: 1, startNow: 1, readyInMs: 0, problem: null }],
  });
  expect(await sessionsOf("lane-w")).toBe(1);
  await edge.POOL.getByName("session-nobody").work("lane-w");
  expect(await sessionsOf("lane-w")).toBe(0);
});

it("knows nothing of a session that never connected", async () => {
  expect(await edge.POOL.getByName("session-unknown").check([claim])).toEqual({ alive: false, remainingMs: 0 });
});

it("says what its pool ran on, also of a lease that is over", async () => {
  const channel = await connect("session-devices", ["lane-v"]);
  const devices = [
    { id: "cpu", kind: "cpu" as const, name: "AMD EPYC", memoryBytes: null },
    { id: "0", kind: "cuda" as const, name: "NVIDIA H200", memoryBytes: null },
  ];
  channel.socket.send(hello(channel, ["lane-v"], { devices }));
  await channel.next();
  const stub = edge.POOL.getByName("session-devices");
  expect(await stub.check([])).toMatchObject({ alive: true, device: "NVIDIA H200" });
  await stub.supersede("t");
  expect(await stub.check([])).toEqual({ alive: false, remainingMs: 0, device: "NVIDIA H200" });
});

/** Makes the session look as if it was last heard `ms` ago. */
function age(state: DurableObjectState, ms: number): void {
  const known = state.storage.kv.get<{ seenAt: number }>("known");
  if (known !== undefined) state.storage.kv.put("known", { ...known, seenAt: Date.now() - ms });
}
