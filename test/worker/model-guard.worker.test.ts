/** `model-guard` over the shards and lanes: published, asked, answered by a pool, and not. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { GrantSchema } from "../../src/contract/claim.ts";
import type { Grant } from "../../src/contract/claim.ts";
import type { Env } from "../../src/env.ts";
import { findAccount } from "../../src/registry/accounts.ts";
import { call, callJson, FakePool, newKey, offer, testEnv } from "./edge-harness.ts";

const VERSION = "9".repeat(64);
const GUARD_VERSION = "8".repeat(64);
const LANE = "guards";
const operator = testEnv.ADMIN_KEY ?? "";
/** Between two polls of the guard's pool. */
const POLL_EVERY_MS = 10;
const pools: (() => Promise<void>)[] = [];
let key = "";

afterEach(async () => {
  for (const close of pools.splice(0)) await close();
});

beforeAll(async () => {
  key = await newKey("guarded");
  await newKey("the-operator");
  await offer({ name: "guarded", version: VERSION, streams: "concatenate" });
  await offer({ name: "guard", version: GUARD_VERSION, lane: LANE, minInstances: 1, maxBatchSize: 8 });
  await offer({ name: "not-alone", version: "7".repeat(64), lane: "crowd", minInstances: 1 });
  await offer({ name: "beside", version: "6".repeat(64), lane: "crowd" });
  await offer({ name: "asleep", version: "5".repeat(64), lane: "asleep" });
});

type Body = Record<string, unknown>;
type Polled = { headers: { key: string; value: string }[] };

/** A gateway with these settings, or the refusal of them. */
async function publish(entry: object, models: object = {}) {
  const name = crypto.randomUUID();
  const getByName = () => testEnv.SETTINGS.getByName(name);
  const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const settings = { plugins: { "api-key": {}, "model-guard": entry }, models };
  const published = await callJson("/admin/v1/settings", { key: operator, env, body: { settings, why: "a test" } });
  return { env, published };
}

async function gateway(config: object = {}, more: object = {}) {
  const { env, published } = await publish({ config: { model: "acme/guard", timeoutMs: 10_000, ...config }, ...more });
  expect(published).toMatchObject({ status: 201 });
  const create = (input: object, own = key) =>
    callJson("/v1/predictions", { key: own, env, body: { version: VERSION, input } });
  return { env, create };
}

/** A pool that serves the guard: it answers each question by `answer`, whether it was pushed or polled. */
async function guardPool(env: Partial<Env>, answer: (text: string) => object) {
  const pool = await FakePool.open([LANE]);
  const answered = new Set<string>();
  const work = new Set<Promise<unknown>>();
  let isOpen = true;

  const send = (events: object[]) =>
    callJson("/pool/v1/events", { key: pool.key, env, body: { session: pool.session, events } });
  async function run({ id, token, seq, startNow, input }: Grant): Promise<void> {
    answered.add(id);
    const output = answer(String((input as Body)["text"]));
    if (startNow) await send([{ id, token, seq, type: "succeeded", output }]);
    else {
      await send([{ id, token, seq, type: "starting" }]);
      await send([{ id, token, seq: seq + 1, type: "succeeded", output }]);
    }
  }

  const upgrade = { upgrade: "websocket", "edgeplane-session": pool.session };
  const socket = (await call("/pool/v1/connect", { key: pool.key, headers: upgrade })).webSocket;
  socket?.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data)) as { type: string; grants?: unknown[] };
    if (message.type === "grants") for (const grant of message.grants ?? []) work.add(run(GrantSchema.parse(grant)));
  });
  socket?.accept();

  async function poll(): Promise<void> {
    const headers = {
      authorization: `Basic ${btoa(`pool:${pool.key}`)}`,
      "edgeplane-session": pool.session,
      "edgeplane-model-room": JSON.stringify([["acme/guard", GUARD_VERSION, 8, 8]]),
    };
    const topics = ["high", "normal", "low"].map((priority) => `jobs.${LANE}.${priority}`);
    const polled = await callJson("/kafka/consume/lane.guards/instance", { headers, body: { topics }, env });
    for (const record of polled.body as unknown as Polled[]) {
      const claim = record.headers.find((header) => header.key === "edgeplane-claim")?.value ?? "";
      await run(GrantSchema.parse(JSON.parse(claim)));
    }
  }

  const polling = (async () => {
    while (isOpen) {
      await poll();
      await scheduler.wait(POLL_EVERY_MS);
    }
  })();
  pools.push(async () => {
    isOpen = false;
    await polling;
    await Promise.all(work);
    socket?.close();
  });
  return { answered };
}

const flagging = (text: string) => ({ flagged: text.includes("bad"), categories: ["violence"] });

describe("publishing", () => {
  it.each([
    ["acme/nobody", "guard_model_unfit", /no model acme\/nobody/],
    ["acme/guarded", "guard_model_unfit", /pinned: true/],
    ["acme/asleep", "guard_model_unfit", /pinned: true/],
    ["acme/not-alone", "guard_model_unfit", /"crowd", and so does acme\/beside/],
  ])("refuses %s as a guard: %s", async (model, code, detail) => {
    const { published } = await publish({ config: { model } });
    expect(published).toMatchObject({ status: 422, body: { code } });
    expect(published.body["detail"]).toMatch(detail);
  });

  it("says that a model would guard itself", async () => {
    const own = { "acme/guard": { plugins: { "model-guard": { config: { model: "acme/guard" } } } } };
    const { published } = await publish({ config: { model: "acme/guard" } }, own);
    expect(published).toMatchObject({ status: 422, body: { code: "guard_cycle" } });
  });

  it("takes a deployment that stands by", async () => {
    const deployment = { name: "g", model: "acme/asleep", version: "5".repeat(64), hardware: "cpu" };
    const made = await callJson("/v1/deployments", {
      key,
      body: { ...deployment, min_instances: 0, max_instances: 1 },
    });
    expect(made.status).toBe(201);
    const { published } = await publish({ config: { deployment: "guarded/g" } });
    expect(published.body["detail"]).toMatch(/min_instances/);
    await callJson("/v1/deployments/guarded/g", { key, method: "PATCH", body: { min_instances: 1 } });
    expect((await publish({ config: { deployment: "guarded/g" } })).published.status).toBe(201);
  });
});

it("lets through or refuses by what the model says, and what it was asked is nobody's to see", async () => {
  const { env, create } = await gateway({ account: "the-operator" });
  const guard = await guardPool(env, flagging);
  const good = await create({ text: "all is fine" });
  const bad = await create({ text: "this is bad" });
  expect(good.status).toBe(201);
  expect(bad).toMatchObject({ status: 403, body: { code: "rejected_by_policy" } });
  expect(guard.answered.size).toBe(2);

  const pool = await FakePool.open();
  const grant = await pool.claim(String(good.body["id"]));
  const event = { id: grant.id, token: grant.token, seq: grant.seq, type: "succeeded", output: "so bad" };
  const sent = { session: pool.session, events: [event] };
  await expect
    .poll(async () => {
      const { body } = await callJson("/pool/v1/events", { key: pool.key, env, body: sent });
      return (body["verdicts"] as { verdict: string }[])[0]?.verdict;
    })
    .toBe("ok");
  const after = (await callJson(`/v1/predictions/${grant.id}`, { key, env })).body;
  expect(after).toMatchObject({ status: "failed", error_code: "rejected_by_policy" });
  expect(after["verdicts"]).toEqual([
    expect.objectContaining({ plugin: "model-guard", phase: "screenOutput", category: "violence", rule: "acme/guard" }),
  ]);
  expect(JSON.stringify(after)).not.toContain("so bad");

  for (const own of [key, await newKey("the-operator")]) {
    const list = (await callJson("/v1/predictions", { key: own, env })).body["results"] as Body[];
    for (const id of guard.answered) {
      expect(list.map((one) => one["id"])).not.toContain(id);
      for (const path of ["", "/cancel", "/stream"])
        expect(
          (await call(`/v1/predictions/${id}${path}`, { key: own, env, method: path === "/cancel" ? "POST" : "GET" }))
            .status,
        ).toBe(404);
    }
  }
});

async function waitingOf(name: string): Promise<number> {
  const account = (await findAccount(testEnv.DB, name))?.id ?? "";
  const flow = { account, priority: "high", model: "acme/guard", version: GUARD_VERSION } as const;
  return (await testEnv.LANE.getByName(LANE).outlook(flow)).ownWaiting;
}

it("asks in the turn of the account that it guards, whoever pays", async () => {
  const { env, create } = await gateway({ account: "the-operator" });
  const waiting = [create({ text: "mine" }), create({ text: "another's" }, await newKey("another"))];
  for (const name of ["guarded", "another"]) await expect.poll(() => waitingOf(name)).toBe(1);
  expect(await waitingOf("the-operator")).toBe(0);
  await guardPool(env, flagging);
  for (const { status } of await Promise.all(waiting)) expect(status).toBe(201);
});

it("refuses what can't be judged in time, unless it shall fail open, and leaves no question behind", async () => {
  const closed = await gateway({ timeoutMs: 200 });
  expect(await closed.create({ text: "one" })).toMatchObject({ status: 503, body: { code: "guard_unavailable" } });
  const open = await gateway({ timeoutMs: 200 }, { fail_mode: "open" });
  expect((await open.create({ text: "two" })).status).toBe(201);
  await expect.poll(() => waitingOf("guarded")).toBe(0);
});

it("refuses what the model has no clear answer on", async () => {
  const { env, create } = await gateway();
  await guardPool(env, () => ({ verdict: "fine" }));
  expect(await create({ text: "who knows" })).toMatchObject({ status: 503, body: { code: "guard_unavailable" } });
});
