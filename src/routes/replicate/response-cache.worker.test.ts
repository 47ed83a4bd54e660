/** The plugin `response-cache`, as a client meets it. */
import { beforeAll, expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, readEvents, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Env } from "../../env.ts";
import { PATIENCE } from "../../../test/patience.ts";

const MODEL = "acme/sure";
const VERSION = "c".repeat(64);
const operator = testEnv.ADMIN_KEY ?? "";
let pool: FakePool;
let accounts = 0;

beforeAll(async () => {
  await offer({ name: "sure", version: VERSION, deterministic: true, streams: "iterate" });
  await offer({ name: "unsure", version: "d".repeat(64), streams: "iterate" });
  pool = await FakePool.open();
});

/** A gateway with settings of its own, and an account of its own there. */
async function gateway(plugins: object = {}, more: Partial<Env> = {}) {
  const name = crypto.randomUUID();
  const getByName = () => testEnv.SETTINGS.getByName(name);
  const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"], ...more };
  const publish = async (others: object) => {
    const settings = { plugins: { "api-key": {}, "response-cache": {}, ...others } };
    const answer = await callJson("/admin/v1/settings", { key: operator, env, body: { settings, why: "a test" } });
    expect(answer.status).toBe(201);
    // What is published holds at once for the next request of this isolate.
    clock.set(clock.at() + 5000);
  };
  await publish(plugins);
  const key = await newKey(`cached-${(accounts += 1)}`);
  const create = async (
    input: object,
    options: { key?: string; model?: string; headers?: object; body?: object } = {},
  ) => {
    const { status, body, headers } = await callJson("/v1/predictions", {
      ...{ key: options.key ?? key, env, headers: { ...options.headers } },
      body: { version: options.model ?? MODEL, input, ...options.body },
    });
    expect(status).toBe(201);
    return { ...body, id: String(body["id"]), headers } as Record<string, unknown> & { id: string; headers: Headers };
  };
  /** Runs it and waits until another one like it need not run. */
  const runAndRemember = async (input: object, output: unknown) => {
    const first = await create(input);
    expect(first["status"]).toBe("starting");
    await pool.run(first.id, output);
    return vi.waitFor(
      async () => {
        const again = await create(input);
        expect(again["status"]).toBe("succeeded");
        return again;
      },
      { timeout: 10_000, interval: 50 },
    );
  };
  const get = (path: string) => callJson(path, { key, env });
  return { create, runAndRemember, get, publish, key, env };
}

/** Settings are looked at again after five seconds. */
const clock = (() => {
  let ahead = 0;
  const real = Date.now.bind(Date);
  vi.spyOn(Date, "now").mockImplementation(() => real() + ahead);
  return { at: () => ahead, set: (ms: number) => void (ahead = ms) };
})();

it("answers at once, with a prediction like any other that never ran", async () => {
  const { runAndRemember, create, get, key, env } = await gateway();
  const hit = await runAndRemember({ text: "a", list: [1] }, "the answer");
  expect(hit).toMatchObject({
    ...{ status: "succeeded", output: "the answer", attempt: 0, started_at: null, error: null },
    ...{
      metrics: { cached: true, predict_time: 0 },
      input: { text: "a", list: [1] },
      completed_at: expect.any(String) as string,
    },
  });
  const { body } = await get(`/v1/predictions/${hit.id}`);
  expect(body).toMatchObject({ status: "succeeded", output: "the answer" });
  expect(body["verdicts"]).toMatchObject([
    { plugin: "response-cache", phase: "route", category: "cache", rule: "hit" },
  ]);
  await vi.waitFor(async () => {
    const ids = (await get("/v1/predictions")).body["results"] as { id: string }[];
    expect(ids.map(({ id }) => id)).toContain(hit.id);
  }, PATIENCE);
  const other = await newKey(`cached-${(accounts += 1)}`);
  expect(await create({ text: "a", list: [1] }, { key: other })).toMatchObject({ status: "starting" });
  expect(await create({ text: "A", list: [1] })).toMatchObject({ status: "starting" });
  const canceled = await call(`/v1/predictions/${hit.id}/cancel`, { method: "POST", key, env });
  expect(await canceled.json()).toMatchObject({ status: "succeeded" });
});

it("keeps the client's key, and streams what was yielded", async () => {
  const { create, env } = await gateway();
  const first = await create({ text: "s" });
  const grant = await pool.claim(first.id);
  await pool.send(grant, { type: "output", chunk: "a" }, { type: "output", chunk: "b" });
  await pool.send(grant, { type: "succeeded", output: ["a", "b"] });
  await vi.waitFor(async () => expect(await create({ text: "s" })).toMatchObject({ status: "succeeded" }), 10_000);
  const headers = { "idempotency-key": "k1" };
  const keyed = await create({ text: "s" }, { headers, body: { stream: true } });
  const replayed = await create({ text: "s" }, { headers, body: { stream: true } });
  expect([keyed["output"], keyed.headers.get("idempotent-replayed")]).toEqual([["a", "b"], null]);
  expect([replayed.id, replayed.headers.get("idempotent-replayed")]).toEqual([keyed.id, "true"]);
  const { stream } = keyed["urls"] as { stream: string };
  const events = await readEvents(await call(stream, { env, headers: { accept: "text/event-stream" } }));
  expect(events.map(({ event, data }) => [event, data])).toEqual([
    ["output", "a"],
    ["output", "b"],
    ["done", "{}"],
  ]);
});

it("screens again what it knows, and lets run what is refused", async () => {
  const { runAndRemember, create, publish } = await gateway();
  await runAndRemember({ text: "card" }, "it is 4111 1111 1111 1111");
  await publish({ "content-safety": { config: { patterns: { card: "mask" } } } });
  const masked = await create({ text: "card" });
  expect([masked["status"], String(masked["output"]).includes("1111")]).toEqual(["succeeded", false]);
  await publish({ "content-safety": { config: { patterns: { card: "block" } } } });
  expect(await create({ text: "card" })).toMatchObject({ status: "starting" });
});

it("gives back what was reserved, of a hit as of a miss", async () => {
  const limits = [{ name: "at-once", per: "account", of: "concurrency", limit: 1 }];
  const { runAndRemember, create } = await gateway({ "rate-limit": { config: { limits } } });
  const first = await create({ text: "r" });
  await pool.run(first.id, "r");
  for (let count = 0; count < 3; count += 1) {
    await vi.waitFor(async () => expect(await create({ text: "r" })).toMatchObject({ status: "succeeded" }), 15_000);
  }
  await vi.waitFor(async () => runAndRemember({ text: "another" }, "r"), 15_000);
});

it("keeps no failure, no file, and nothing of a model that isn't sure", async () => {
  const { create, key, env } = await gateway();
  const end = async (input: object, event: object, model = MODEL) => {
    const { id } = await create(input, { model });
    const grant = await pool.claim(id);
    await pool.send(grant, event);
    return { input, model, id };
  };
  const error = { code: "model_error", message: "no" };
  const tried = [
    await end({ text: "fails" }, { type: "failed", kind: "model", error }),
    await end({ text: "file" }, { type: "succeeded", output: "https://edge.test/v1/outputs/x/y/z.png?sig=1" }),
    await end({ text: "large" }, { type: "succeeded", output: "x".repeat(70_000) }),
    await end({ text: "unsure" }, { type: "succeeded", output: "o" }, "acme/unsure"),
  ];
  const { id } = await create({ text: "canceled" });
  await call(`/v1/predictions/${id}/cancel`, { method: "POST", key, env });
  // What came behind them is known, so that they would be, too.
  const known = await end({ text: "known" }, { type: "succeeded", output: "o" });
  await vi.waitFor(async () => expect(await create(known.input)).toMatchObject({ status: "succeeded" }), 10_000);
  tried.push({ input: { text: "canceled" }, model: MODEL, id });
  for (const { input, model } of tried) expect(await create(input, { model })).toMatchObject({ status: "starting" });
});

it("forgets what is removed of the prediction that it came from, or was given to", async () => {
  const { runAndRemember, create, key, env } = await gateway();
  for (const text of ["source", "hit"]) {
    const source = await create({ text });
    await pool.run(source.id, "o");
    const hit = await vi.waitFor(async () => {
      const again = await create({ text });
      expect(again["status"]).toBe("succeeded");
      return again;
    }, 10_000);
    const { id } = text === "hit" ? hit : source;
    expect((await callJson(`/v1/predictions/${id}`, { method: "DELETE", key, env })).status).toBe(204);
    expect(await create({ text })).toMatchObject({ status: "starting" });
  }
  await runAndRemember({ text: "others go on" }, "o");
});

it("blocks nobody when it breaks", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const broken = { getByName: () => ({ find: () => Promise.reject(new Error("away")) }) };
  const { create } = await gateway({}, { RESPONSES: broken as unknown as Env["RESPONSES"] });
  expect(await create({ text: "b" })).toMatchObject({ status: "starting" });
  const hung = { getByName: () => ({ find: () => new Promise(() => {}) }) };
  const second = await gateway({}, { RESPONSES: hung as unknown as Env["RESPONSES"] });
  expect(await second.create({ text: "b" })).toMatchObject({ status: "starting" });
});
