/** A fake provider that speaks the real protocol: from a client's prediction to a machine, its pool, and its return. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, expect, it } from "vitest";
import { admin, call, callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { inAnotherLife } from "../../../test/worker/other-life.ts";
import { EdgeMessageSchema, PROTOCOL } from "../../contract/channel.ts";
import type { EdgeMessage } from "../../contract/channel.ts";
import { SESSION_HEADER } from "../../contract/claim.ts";
import { openSchema } from "../../object-schema.ts";
import { objectSql } from "../../shard/object-sql.ts";
import { scalerSchema } from "./rows.ts";
import { SyncReplySchema } from "../../contract/provider.ts";
import type { DesiredMachine, ProviderMachine, SyncReply } from "../../contract/provider.ts";

const operator = testEnv.ADMIN_KEY ?? "";
const VERSION = "7".repeat(64);
const sockets: WebSocket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

class FakeProvider {
  readonly name: string;
  readonly #token: string;
  machines: ProviderMachine[] = [];
  refused: { machine: string; reason: "refused"; message: string }[] = [];
  known: string | undefined;

  private constructor(name: string, token: string) {
    this.name = name;
    this.#token = token;
  }

  static async open(name: string): Promise<FakeProvider> {
    return new FakeProvider(name, String((await admin("/provider-tokens", { providers: [name] }))["token"]));
  }

  /** What else it says of itself. */
  says: object = {};

  async sync(hardware = "cpu", provider = this.name): Promise<{ status: number; reply: SyncReply; text: string }> {
    const price = { pricePerHourNano: 36_000_000_000, currency: "USD", billingIncrementS: 1 };
    const small = { id: "small", hardware, devices: 1, ...price, spot: false, available: null };
    const body = { protocol: 1, provider, kind: "fake", offers: [small], machines: this.machines };
    const seen = { refused: this.refused, complete: true };
    const known = this.known === undefined ? {} : { known: this.known };
    const response = await call("/provider/v1/sync", {
      key: this.#token,
      body: { ...body, ...seen, ...known, ...this.says },
    });
    const text = await response.text();
    const reply =
      response.status === 200
        ? SyncReplySchema.parse(JSON.parse(text))
        : { known: "", nowMs: 0, desired: [], checkAgainMs: 1 };
    if (response.status === 200) this.known = reply.known;
    return { status: response.status, reply, text };
  }

  /** Opens the socket; counts what it says. */
  async listen(provider = this.name): Promise<{ status: number; news: string[] }> {
    const headers = { upgrade: "websocket" };
    const { webSocket, status } = await call(`/provider/v1/listen?provider=${provider}`, { key: this.#token, headers });
    const news: string[] = [];
    if (webSocket === null) return { status, news };
    sockets.push(webSocket);
    webSocket.addEventListener("message", ({ data }) => news.push(String(data)));
    webSocket.accept();
    return { status, news };
  }

  /** Until the reply says so. */
  async until(isSo: (desired: DesiredMachine[]) => boolean, hardware = "cpu"): Promise<DesiredMachine[]> {
    for (;;) {
      const { reply } = await this.sync(hardware);
      if (isSo(reply.desired)) return reply.desired;
    }
  }

  has(one: DesiredMachine): void {
    const state = { state: "running" as const, createdAtMs: Date.now(), offer: "small" };
    this.machines = [{ machine: one.machine, providerId: one.name, name: one.name, ...state }];
  }
}

/** The pool of a machine, as far as its channel goes. */
async function connect(token: string, session: string) {
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session };
  const { webSocket, status } = await call("/pool/v1/connect", { key: token, headers });
  if (webSocket === null) return { status, messages: [] as EdgeMessage[], send() {} };
  sockets.push(webSocket);
  const messages: EdgeMessage[] = [];
  webSocket.addEventListener("message", ({ data }) => {
    if (data !== "pong") messages.push(EdgeMessageSchema.parse(JSON.parse(String(data))));
  });
  webSocket.accept();
  const send = (message: object): void => webSocket.send(JSON.stringify(message));
  const cpu = { id: "cpu", kind: "cpu", name: "cpu", memoryBytes: null };
  send({
    ...{ type: "hello", protocol: PROTOCOL, session, pool: "host", version: "0" },
    ...{ lanes: ["default"], devices: [cpu], models: [], hears: ["leave"] },
  });
  return { status, messages, send };
}

const scaling = async () => (await callJson("/admin/v1/scaling", { key: operator })).body;
const machines = async () =>
  (await scaling())["machines"] as {
    id: string;
    hardware: string;
    state: string;
    why: string;
    session: string | null;
  }[];

async function publish(parts: object): Promise<void> {
  const settings = { plugins: { "api-key": {} }, scaling: parts };
  expect((await callJson("/admin/v1/settings", { key: operator, body: { settings, why: "a test" } })).status).toBe(201);
}

/** Something came on each of the last 12 days at the half hour twelve hours from now. */
function regular(nowS: number) {
  const bin = (Math.floor(nowS / 1800) + 24) % 48;
  const day = Math.floor(nowS / 86_400);
  return {
    ...{ v: 1, targetS: 10, kind: { bootS: 60, slots: 1, billingS: 1, lossPerHour: 0 }, meanWorkS: 1 },
    knobs: { backlogS: 10, keepS: 60, windowS: 0, deviations: 0, looksAhead: false, keepsBusy: true, dayShare: 0.9 },
    ...{ arrivals: [], works: [], started: 50, late: 0, turn: 1, untilTuning: 40 },
    days: Array.from({ length: 12 }, (_, i) => [day - 12 + i, [bin]]),
  };
}

it("is woken for a model of regular hours a boot before they begin, and has no alarm without one", async () => {
  await offer({ owner: "local", name: "regular", version: VERSION });
  const scaler = () => testEnv.SCALER.getByName("scaler");
  const alarm = () => runInDurableObject(scaler(), (_, { storage }) => storage.getAlarm());
  const restart = () => runInDurableObject(scaler(), (_, state) => state.abort("a restart")).catch(() => {});
  await publish({ classes: { cpu: {} } });
  await scaling();
  expect(await alarm()).toBeNull();
  const nowS = Date.now() / 1000;
  await runInDurableObject(scaler(), (_, { storage }) => {
    openSchema(objectSql(storage), scalerSchema);
    const value = JSON.stringify(regular(nowS));
    storage.sql.exec("INSERT INTO policies VALUES (?, 0, 1, ?)", `local/regular ${VERSION}`, value);
  });
  await restart();
  await publish({ classes: { cpu: { max: 2 } } });
  await expect.poll(alarm).not.toBeNull();
  const inS = ((await alarm()) ?? 0) / 1000 - nowS;
  expect(inS).toBeGreaterThan(11 * 3600);
  expect(inS).toBeLessThan(12 * 3600);
  await runInDurableObject(scaler(), async (_, { storage }) => {
    storage.sql.exec("DELETE FROM policies");
    await storage.deleteAlarm();
  });
  await restart();
  await publish({});
});

it("holds no sync of a service that listens while nothing is there: it is asked for one again after a minute", async () => {
  const provider = await FakeProvider.open("rests");
  expect((await provider.listen("another")).status).toBe(403);
  expect((await provider.listen()).status).toBe(101);
  await provider.sync();
  expect((await provider.sync()).reply).toMatchObject({ desired: [], checkAgainMs: 60_000 });
  provider.says = { isLeaving: true };
  await provider.sync();
});

it("keeps ten sockets of one provider at most, the new one among them", async () => {
  const provider = await FakeProvider.open("reconnects");
  const statuses: number[] = [];
  for (let n = 0; n < 11; n += 1) statuses.push((await provider.listen()).status);
  expect(new Set(statuses)).toEqual(new Set([101]));
  const open = await runInDurableObject(
    testEnv.SCALER.getByName("scaler"),
    (_object, ctx) => ctx.getWebSockets("reconnects").filter(({ readyState }) => readyState === WebSocket.OPEN).length,
  );
  expect(open).toBe(1);
});

it("has services that listen say anew what they offer once something waits, though it has slept", async () => {
  await publish({ classes: { t9: { max: 1, owners: ["listened"] } } });
  await offer({ owner: "listened", name: "to", version: VERSION });
  const provider = await FakeProvider.open("listens");
  const { news } = await provider.listen();
  await evictDurableObject(testEnv.SCALER.getByName("scaler"));
  const key = await newKey("listened-client");
  await callJson("/v1/predictions", { key, body: { version: `listened/to:${VERSION}`, input: {} } });
  await expect.poll(() => news).toContain("changed");
  const [wanted] = await provider.until((desired) => desired.length > 0, "t9");
  provider.refused = [{ machine: wanted?.machine ?? "", reason: "refused", message: "a test" }];
  expect((await provider.sync("t9")).reply.desired).toEqual([]);
});

it("refuses a second service of a provider, and says how to mend it", async () => {
  const provider = await FakeProvider.open("twice");
  const says = async (instance: string, more: object = {}) => {
    provider.says = { instance, ...more };
    provider.known = undefined;
    const { status, text } = await provider.sync();
    return status === 200 ? status : text;
  };
  expect(await says("a")).toBe(200);
  expect(await says("b")).toContain("Stop one of them, or give this one an entry of its own");
  expect(await says("b", { replaces: "a" })).toBe(200);
  expect(await says("a")).toContain("Another service speaks for the provider twice");
  expect(await says("b", { isLeaving: true })).toBe(200);
  expect(await says("a", { isLeaving: true })).toBe(200);
});

it("rents a machine for what waits, lets its pool in by a token of its own, drains it, and wants it back", async () => {
  await offer({ owner: "local", name: "scaled", version: VERSION });
  const key = await newKey("scaled-client");
  const provider = await FakeProvider.open("fake");
  provider.says = { expectedBootS: 3600 };
  expect((await provider.sync()).reply.desired).toEqual([]);

  const held = provider.until((desired) => desired.length > 0);
  const created = await callJson("/v1/predictions", { key, body: { version: `local/scaled:${VERSION}`, input: {} } });
  expect(created.status).toBe(201);
  const [wanted] = await held;
  const queue = async () => {
    const { body } = await callJson(`/v1/predictions/${String(created.body["id"])}`, { key });
    return body["queue"] as { eta_ms: number | null; estimate?: Record<string, number | null> };
  };
  expect(wanted).toMatchObject({
    state: "running",
    offer: "small",
    hardware: "cpu",
    lanes: ["default"],
    edgeUrl: "https://edge.test",
  });
  const token = wanted?.poolToken ?? "";
  expect(token).toMatch(/^epp_/);
  if (wanted === undefined) throw new Error("nothing is wanted");

  // The object starts again: the same machine, with the same token, is wanted.
  await runInDurableObject(testEnv.SCALER.getByName("scaler"), (_, state) => state.abort("a restart")).catch(() => {});
  provider.known = undefined;
  const again = (await provider.until((desired) => desired.length > 0))[0];
  expect(again).toEqual(wanted);

  // Of a first cold start the provider's word is all that is known: the ETA has no set-up in it, and says so.
  await expect.poll(async () => (await queue()).estimate).toMatchObject({ setup_ms: null, turn_ms: 0, most_ms: null });
  const { eta_ms: etaMs, estimate } = await queue();
  expect(etaMs).toBeGreaterThan(0);
  expect(estimate?.["machine_ms"]).toBe(etaMs);

  provider.has(wanted);
  const pool = await connect(token, "session-of-machine");
  expect(pool.status).toBe(101);
  await expect.poll(async () => (await machines())[0]?.state).toBe("connected");
  expect((await provider.until((desired) => desired[0]?.poolToken === undefined))[0]?.state).toBe("running");
  const room = { model: "local/scaled", version: VERSION, room: 1, startNow: 1, readyInMs: 0, problem: null };
  pool.send({ type: "room", n: 1, full: true, lanes: [{ lane: "default", models: [room], seen: [], ended: [] }] });
  await expect.poll(async () => (await machines())[0]?.state).toBe("ready");

  await publish({ classes: { cpu: { max: 0 } } });
  await expect.poll(() => pool.messages.some(({ type }) => type === "leave")).toBe(true);
  expect((await machines())[0]?.state).toBe("draining");
  const [pooled] = (await callJson("/admin/v1/pool-tokens", { key: operator })).body["results"] as { name: string }[];
  expect(pooled?.name).toBe(`machine ${wanted.machine}`);
  expect((await machines())[0]?.why).toContain("at most 0 are allowed");
});

it("lets in no token of another kind, for another provider, or that was revoked", async () => {
  const provider = await FakeProvider.open("mine");
  expect((await provider.sync("cpu", "yours")).status).toBe(403);
  expect((await callJson("/provider/v1/sync", { key: operator, body: {} })).status).toBe(401);
  expect((await callJson("/provider/v1/sync", { body: {} })).status).toBe(401);
  const metrics = await admin("/provider-tokens", { scope: "metrics" });
  const read = String(metrics["token"]);
  expect((await callJson("/provider/v1/sync", { key: read, body: {} })).status).toBe(403);
  expect((await callJson("/admin/v1/scaling", { key: read })).status).toBe(401);
  expect((await call("/admin/v1/scaling/metrics", { key: read })).status).toBe(200);
  expect((await callJson("/admin/v1/scaling/metrics/none-such", { key: read })).status).toBe(404);
  const revoked = await call(`/admin/v1/provider-tokens/${String(metrics["id"])}`, { key: operator, method: "DELETE" });
  expect(revoked.status).toBe(204);
});

it("forgets no machine that there isn't, or whose provider is heard", async () => {
  const forget = (id: string) => callJson(`/admin/v1/scaling/machines/${id}`, { key: operator, method: "DELETE" });
  expect((await forget("m000000000000")).status).toBe(404);
  expect((await forget((await machines())[0]?.id ?? "")).status).toBe(409);
});

it("tells who starts machines itself how many are wanted, in JSON and for Prometheus", async () => {
  const settings = {
    plugins: { "api-key": {} },
    scaling: { classes: { k8s: { external: true, owners: ["kube"], max: 4 } } },
  };
  expect((await callJson("/admin/v1/settings", { key: operator, body: { settings, why: "a test" } })).status).toBe(201);
  await offer({ owner: "kube", name: "echo", version: VERSION });
  const key = await newKey("kube-client");
  for (let n = 0; n < 3; n += 1)
    await callJson("/v1/predictions", { key, body: { version: `kube/echo:${VERSION}`, input: {} } });
  const wanted = async () => (await callJson("/admin/v1/scaling/metrics/k8s", { key: operator })).body;
  await expect.poll(wanted).toMatchObject({ hardware: "k8s", there: 0, waiting: 3, running: 0 });
  expect((await wanted())["wanted"]).toBeGreaterThan(0);
  const text = await (await call("/admin/v1/scaling/metrics", { key: operator })).text();
  expect(text).toMatch(/^edgeplane_scaling_machines_wanted\{hardware="k8s"\} [1-4]$/m);
  expect((await machines()).filter(({ hardware }) => hardware === "k8s")).toEqual([]);
});

it("simulates settings over what has arrived, and says which models it left out, and why", async () => {
  const draft = { classes: { cpu: { min: 1, max: 2 } } };
  const { status, body } = await callJson("/admin/v1/scaling/simulate", { key: operator, body: { scaling: draft } });
  expect(status).toBe(200);
  expect(body["models"]).toMatchObject([{ model: "local/scaled", arrivals: 1, simulated: 1 }]);
  const kube = { model: "kube/echo", why: expect.stringContaining("the owner kube") as string };
  expect(body["left_out"]).toEqual(expect.arrayContaining([expect.objectContaining(kube)]));
  const wrong = { scaling: { classes: { CPU: {} } } };
  expect((await callJson("/admin/v1/scaling/simulate", { key: operator, body: wrong })).status).toBe(422);
});

it("revokes the token of a machine that its provider refused to make", async () => {
  await publish({ classes: { t4: { max: 1 } }, models: { "local/refused": { hardware: "t4" } } });
  await offer({ owner: "local", name: "refused", version: VERSION });
  const provider = await FakeProvider.open("refuser");
  const held = provider.until((desired) => desired.length > 0, "t4");
  const key = await newKey("refused-client");
  await callJson("/v1/predictions", { key, body: { version: `local/refused:${VERSION}`, input: {} } });
  const machine = (await held)[0]?.machine ?? "";
  provider.refused = [{ machine, reason: "refused", message: "no credit" }];
  expect((await provider.sync("t4")).reply.desired).toEqual([]);
  const revoked = async () => {
    const { body } = await callJson("/admin/v1/pool-tokens?revoked=true", { key: operator });
    return (body["results"] as { name: string }[]).map(({ name }) => name);
  };
  await expect.poll(revoked).toContain(`machine ${machine}`);
});

it("finds that a pool is gone whose session told nobody, as when the edge was killed with it", async () => {
  const [before] = (await machines()).filter(({ session }) => session === "session-of-machine");
  expect(before?.state).toBe("draining");
  const session = testEnv.POOL.getByName("session-of-machine");
  await runInDurableObject(session, async (_, { storage }) => {
    await storage.deleteAlarm();
    await storage.deleteAll();
  });
  await evictDurableObject(session);
  const provider = await FakeProvider.open("fake");
  const left = async () => {
    provider.known = undefined;
    await provider.sync();
    return (await machines()).map(({ id }) => id);
  };
  await expect.poll(left).not.toContain(before?.id);
});

it("goes on wanting a machine that boots while the database is away after a restart: it is no orphan", async () => {
  await publish({ classes: { t5: { max: 1 } }, models: { "local/boots": { hardware: "t5" } } });
  await offer({ owner: "local", name: "boots", version: VERSION });
  const provider = await FakeProvider.open("boots");
  const held = provider.until((desired) => desired.length > 0, "t5");
  const key = await newKey("boots-client");
  await callJson("/v1/predictions", { key, body: { version: `local/boots:${VERSION}`, input: {} } });
  const [wanted] = await held;
  if (wanted === undefined) throw new Error("nothing is wanted");
  provider.has(wanted);
  provider.known = undefined;
  await provider.sync("t5");
  const prepare = (): never => {
    throw new Error("the database is away");
  };
  await inAnotherLife({ DB: { prepare, batch: prepare } }, async (scaler) => {
    const seen = { offers: [], machines: provider.machines, refused: [], complete: true, known: "an earlier one" };
    const told = { orphansReturned: 0, duplicatesReturned: 0 };
    const reply = await scaler.sync({ protocol: 1, provider: "boots", kind: "fake", ...seen, ...told }, "https://edge");
    expect(reply).toMatchObject({ desired: [{ machine: wanted.machine, state: "running" }] });
  });
  provider.known = undefined;
  expect((await provider.until((desired) => desired.length > 0, "t5"))[0]?.poolToken).toBe(wanted.poolToken);
});
