import { createExecutionContext } from "cloudflare:test";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, ORIGIN, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Env } from "../../env.ts";
import * as client from "../../shard/client.ts";
import { createApp } from "../create-app.ts";

const VERSION = "a".repeat(64);
let key = "";
let other = "";
let pool: FakePool;

const predict = (body: Record<string, unknown>, headers: Record<string, string> = {}, path = "/v1/predictions") =>
  callJson(path, { key, headers, body: { version: VERSION, input: { text: "Ada" }, ...body } });

beforeAll(async () => {
  key = await newKey("acme", { priority: "high" });
  other = await newKey("other");
  pool = await FakePool.open();
  await offer({
    name: "hello",
    schema: {
      components: {
        schemas: {
          Input: { type: "object", required: ["text"], properties: { text: { type: "string", minLength: 1 } } },
        },
      },
    },
  });
});

describe("creating a prediction", () => {
  it.each([
    ["/v1/predictions", { version: VERSION }],
    ["/v1/predictions", { version: "acme/hello" }],
    ["/v1/predictions", { version: `acme/hello:${VERSION}` }],
    ["/v1/predictions", { version: null, model: "acme/hello" }],
    ["/v1/models/acme/hello/predictions", { version: null }],
    [`/v1/models/acme/hello/versions/${VERSION}/predictions`, { version: null }],
  ])("accepts %s with %j", async (path, target) => {
    const { status, body, headers } = await predict(target, {}, path);
    expect(status).toBe(201);
    expect(body).toMatchObject({ model: "acme/hello", version: VERSION, status: "starting", input: { text: "Ada" } });
    expect(body).toMatchObject({ output: null, error: null, priority: "normal", queue: {}, data_removed: false });
    expect(headers.get("location")).toBe(`${ORIGIN}/v1/predictions/${String(body["id"])}`);
  });

  it("takes deadlines, priority and cancellation from the request", async () => {
    const { body } = await predict({ start_timeout: "30s", timeout: 120, priority: "high" }, { "cancel-after": "1m" });
    expect(body["priority"]).toBe("high");
    const created = Date.parse(String(body["created_at"]));
    expect(Date.parse(String(body["start_deadline"])) - created).toBe(30_000);
    // `Cancel-After` is sooner than the time-out.
    expect(Date.parse(String(body["deadline"])) - created).toBe(60_000);
  });

  it("lets nobody have more priority than the key may ask for, nor lowers what was asked for", async () => {
    const keys = { high: key, normal: other, low: await newKey("low", { priority: "low" }) };
    const statusOf = async (key: string, priority?: string) => {
      const body = { version: VERSION, input: { text: "Ada" }, ...(priority === undefined ? {} : { priority }) };
      const answer = await callJson("/v1/predictions", { key, body });
      return answer.status === 201 ? answer.body["priority"] : [answer.status, answer.body["code"]];
    };
    const refused = [403, "priority_forbidden"];
    expect(await statusOf(keys.high, "low")).toBe("low");
    expect(await statusOf(keys.normal, "normal")).toBe("normal");
    expect(await statusOf(keys.normal, "high")).toEqual(refused);
    expect(await statusOf(keys.low, "low")).toBe("low");
    expect(await statusOf(keys.low)).toEqual(refused);
    const { body } = await callJson("/v1/predictions", {
      key: keys.normal,
      body: { version: VERSION, input: { text: "Ada" }, priority: "high" },
    });
    expect(body["detail"]).toContain('"high"; the key\'s scope `priority` ends at "normal"');
  });

  it.each([
    [{ version: "b".repeat(64) }, 422, "version_not_found"],
    [{ version: "nonsense" }, 422, "version_not_found"],
    [{ version: "acme/absent" }, 404, "model_not_found"],
    [{ version: null }, 422, "invalid_input"],
    [{ input: null }, 422, "invalid_input"],
    [{ input: { text: "" } }, 422, "invalid_input"],
    [{ input: {} }, 422, "invalid_input"],
    [{ priority: "urgent" }, 422, "invalid_input"],
    [{ timeout: "soon" }, 422, "invalid_input"],
    [{ timeout: 0 }, 422, "invalid_input"],
    [{ webhook: "https://10.0.0.1/" }, 422, "invalid_input"],
    [{ webhook: "http://127.0.0.1:9/" }, 422, "invalid_input"],
    [{ webhook: "https://user:pass@example.com/" }, 422, "invalid_input"],
    [{ webhook_events_filter: ["everything"] }, 422, "invalid_input"],
  ])("refuses %j with %i %s", async (body, status, code) => {
    const answer = await predict(body);
    expect(answer.body).toMatchObject({
      status,
      code,
      title: expect.any(String) as string,
      request_id: expect.any(String) as string,
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
  });

  it("names the invalid fields", async () => {
    const { body } = await predict({ input: { text: 7 } });
    expect(body["invalid_fields"]).toEqual([
      { type: "invalid", field: "input.text", description: "must be of type string, not number" },
    ]);
  });

  it.each([
    ["{", 400, "invalid_json"],
    ["", 400, "invalid_json"],
    [new Uint8Array([0x22, 0xff, 0x22]), 400, "invalid_json"],
    [`{"input":${'{"a":'.repeat(200)}1${"}".repeat(200)}}`, 400, "invalid_request"],
    ["[]", 422, "invalid_input"],
  ])("refuses the body %j", async (body, status, code) => {
    const answer = await callJson("/v1/predictions", { method: "POST", key, body });
    expect(answer.status).toBe(status);
    expect(answer.body["code"]).toBe(code);
  });

  it("refuses a body that is too large at once", async () => {
    const answer = await callJson("/v1/predictions", { key, body: `"${"x".repeat(16 * 1024 * 1024)}"` });
    expect(answer.status).toBe(413);
  });

  it.each([
    [{ prefer: "wait=0" }, "Prefer"],
    [{ prefer: "wait=61" }, "Prefer"],
    [{ prefer: "wait=x" }, "Prefer"],
    [{ "cancel-after": "yesterday" }, "Cancel-After"],
    [{ "idempotency-key": "k".repeat(256) }, "Idempotency-Key"],
  ])("refuses the header %j", async (headers, name) => {
    const answer = await predict({}, headers);
    expect([400, 422]).toContain(answer.status);
    expect(answer.body["detail"]).toContain(name);
  });

  it("lets loopback webhooks through where the operator allows them", async () => {
    const answer = await callJson("/v1/predictions", {
      key,
      env: { ...testEnv, ALLOW_LOOPBACK_TARGETS: "1" },
      body: { version: VERSION, input: { text: "Ada" }, webhook: "http://127.0.0.1:18499/hook" },
    });
    expect(answer.status).toBe(201);
    expect(answer.body["webhook"]).toBe("http://127.0.0.1:18499/hook");
  });
});

describe("a warm isolate", () => {
  it("makes one call out to accept a prediction: to its shard", async () => {
    await predict({});
    const calls: string[] = [];
    const watched = Object.fromEntries(
      Object.entries(testEnv).map(([name, binding]: [string, unknown]) => {
        if (typeof binding !== "object" || binding === null) return [name, binding];
        const get = (target: object, method: string) => {
          calls.push(`${name}.${method}`);
          const value: unknown = Reflect.get(target, method);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        };
        return [name, new Proxy(binding, { get })];
      }),
    ) as Partial<Env>;
    const app = createApp({
      ...client,
      submit: async (_env, submission, waitMs) => {
        calls.push("shard.submit");
        return client.submit(testEnv, submission, waitMs);
      },
    });
    const body = JSON.stringify({ version: VERSION, input: { text: "Ada" } });
    const request = () =>
      new Request(`${ORIGIN}/v1/predictions`, { method: "POST", headers: { authorization: `Bearer ${key}` }, body });
    const env = { ...testEnv, ...watched };
    expect((await app.fetch(request(), env, createExecutionContext())).status).toBe(201);
    calls.length = 0;
    expect((await app.fetch(request(), env, createExecutionContext())).status).toBe(201);
    expect(calls).toEqual(["shard.submit"]);
  });
});

describe("waiting", () => {
  it("answers the result when it comes in time", async () => {
    const keyed = { prefer: "wait=10", "idempotency-key": crypto.randomUUID() };
    const first = await predict({}, { "idempotency-key": keyed["idempotency-key"] });
    const waiting = predict({}, keyed);
    await pool.run(String(first.body["id"]), "hello Ada");
    const { status, body } = await waiting;
    expect(status).toBe(201);
    expect(body).toMatchObject({ id: first.body["id"], status: "succeeded", output: "hello Ada" });
    expect(body).not.toHaveProperty("queue");
  });

  it("answers 202 and `starting` when time is over, though it runs", async () => {
    const idempotency = { "idempotency-key": crypto.randomUUID() };
    const first = await predict({}, idempotency);
    await pool.send(await pool.claim(String(first.body["id"])), { type: "output", chunk: "tick 0" });
    const { status, body } = await predict({}, { ...idempotency, prefer: "wait=1" });
    expect(status).toBe(202);
    // PyPI's `run` yields only what comes behind the output of this answer.
    expect(body).toMatchObject({ status: "starting", output: null });
    const now = (await callJson(`/v1/predictions/${String(body["id"])}`, { key })).body;
    expect(now).toMatchObject({ status: "processing", output: ["tick 0"] });
  });

  it("answers 202 at once for `respond-async`", async () => {
    expect((await predict({}, { prefer: "respond-async" })).status).toBe(202);
  });
});

describe("a client that leaves while it waits", () => {
  const leaving = (extra: Record<string, unknown>) => ({
    key,
    headers: { prefer: "wait=30" },
    body: { version: VERSION, input: { text: "Ada" }, cancel_on_disconnect: true, ...extra },
  });

  it("cancels the prediction, where it asked for that", async () => {
    const response = await call("/v1/predictions", {
      ...leaving({}),
      headers: { prefer: "wait=30", "idempotency-key": "leaver" },
    });
    expect(response.status).toBe(201);
    await response.body?.cancel();
    const status = async () =>
      (await predict({ cancel_on_disconnect: true }, { "idempotency-key": "leaver" })).body["status"];
    await expect.poll(status).toBe("canceled");
  });

  it("gets the result when it stays", async () => {
    const headers = { prefer: "wait=30", "idempotency-key": "stayer" };
    const first = await predict({ cancel_on_disconnect: true }, { "idempotency-key": "stayer" });
    const response = await call("/v1/predictions", { ...leaving({}), headers });
    const [early, whole] = response.body?.tee() ?? [];
    // The first blank says that it waits.
    await early?.getReader().read();
    await pool.run(String(first.body["id"]), "hello Ada");
    const text = await new Response(whole ?? null).text();
    expect(text).toMatch(/^ +\{/);
    expect(JSON.parse(text)).toMatchObject({ status: "succeeded", output: "hello Ada" });
  });

  it("fails nothing but the canceling when the shard is away", async () => {
    const { promise: tried, resolve } = Promise.withResolvers<void>();
    const cancelPrediction: typeof client.cancelPrediction = async () => {
      resolve();
      throw new Error("the shard is away");
    };
    const app = createApp({ ...client, cancelPrediction });
    const request = new Request(`${ORIGIN}/v1/predictions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, prefer: "wait=5" },
      body: JSON.stringify(leaving({}).body),
    });
    const warned = vi.spyOn(console, "error");
    const response = await app.fetch(request, testEnv, createExecutionContext());
    await response.body?.cancel();
    await tried;
    await expect.poll(() => JSON.stringify(warned.mock.calls)).toContain("held_cancel_failed");
    warned.mockRestore();
  });

  it("is told of a mistake as ever", async () => {
    expect((await call("/v1/predictions", leaving({ input: {} }))).status).toBe(422);
  });
});

describe("reading", () => {
  it("shows nothing of another account's", async () => {
    const id = String((await predict({})).body["id"]);
    for (const [method, path] of [
      ["GET", `/v1/predictions/${id}`],
      ["POST", `/v1/predictions/${id}/cancel`],
      ["GET", `/v1/predictions/${id}/stream`],
    ] as const) {
      const { status, body } = await callJson(path, { method, key: other });
      expect([path, status, body["code"]]).toEqual([path, 404, "not_found"]);
    }
    const { body } = await callJson("/v1/predictions", { key: other });
    expect(JSON.stringify(body)).not.toContain(id);
  });

  it("answers a canceled prediction as canceled, twice", async () => {
    const id = String((await predict({})).body["id"]);
    for (let times = 0; times < 2; times += 1) {
      const { status, body } = await callJson(`/v1/predictions/${id}/cancel`, { method: "POST", key });
      expect([status, body["status"]]).toEqual([200, "canceled"]);
    }
  });

  it("tells a failure with its message and code", async () => {
    const id = String((await predict({})).body["id"]);
    const error = { code: "model_error", message: "no such text" };
    await pool.send(await pool.claim(id), { type: "failed", kind: "model", error });
    const { body } = await callJson(`/v1/predictions/${id}`, { key });
    expect(body).toMatchObject({ status: "failed", error: "no such text", error_code: "model_error" });
  });

  it("answers HEAD without a body and without holding", async () => {
    const id = String((await predict({})).body["id"]);
    const response = await call(`/v1/predictions/${id}`, { method: "HEAD", key });
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  it("pages through a list in both directions", async () => {
    const account = await newKey("lister");
    const accepted: { id: string; at: number }[] = [];
    for (let count = 0; count < 5; count += 1) {
      const { body } = await callJson("/v1/predictions", {
        key: account,
        body: { version: VERSION, input: { text: "x" } },
      });
      accepted.push({ id: String(body["id"]), at: Date.parse(String(body["created_at"])) });
    }
    // Several may be of one millisecond: the id then says which comes first.
    const newestFirst = accepted.toSorted((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
    const made = newestFirst.map(({ id }) => id);
    const page = async (path: string) => {
      const { body } = await callJson(path, { key: account });
      const results = body["results"] as { id: string }[];
      return { ids: results.map(({ id }) => id), next: body["next"], previous: body["previous"] };
    };
    await expect.poll(async () => (await page("/v1/predictions")).ids).toEqual(made);
    const first = await page("/v1/predictions?limit=2");
    expect([first.ids, first.previous]).toEqual([made.slice(0, 2), null]);
    const second = await page(String(first.next));
    expect(second.ids).toEqual(made.slice(2, 4));
    const third = await page(String(second.next));
    expect([third.ids, third.next]).toEqual([made.slice(4), null]);
    expect((await page(String(third.previous))).ids).toEqual(made.slice(2, 4));
    expect((await callJson("/v1/predictions?cursor=nonsense", { key })).status).toBe(400);
    expect((await callJson("/v1/predictions?limit=0", { key })).status).toBe(400);
    expect((await callJson("/v1/predictions?created_after=soon", { key })).status).toBe(400);
  });
});

describe("webhooks of a prediction", () => {
  it("shows their log to the account alone, and sends one again when asked", async () => {
    const webhook = "https://receiver.example.com/hook";
    const made = await callJson("/v1/predictions", {
      key,
      body: { version: VERSION, input: { text: "Ada" }, webhook, webhook_events_filter: ["completed"] },
    });
    const path = `/v1/predictions/${String(made.body["id"])}`;
    expect((await callJson(`${path}/webhooks`, { key })).body).toEqual({ results: [] });
    await callJson(`${path}/cancel`, { key, method: "POST" });
    const log = async () => (await callJson(`${path}/webhooks`, { key })).body["results"];
    await expect.poll(log).toMatchObject([{ event: "completed", url: webhook, state: "pending", try_count: 1 }]);
    const [{ webhook_id: webhookId }] = (await log()) as [{ webhook_id: string }];
    const again = await callJson(`${path}/webhooks/${webhookId}/redeliver`, { key, method: "POST" });
    expect(again).toMatchObject({ status: 202, body: { webhook_id: webhookId } });
    expect((await callJson(`${path}/webhooks`, { key: other })).status).toBe(404);
    const unknown = await callJson(`${path}/webhooks/msg_unknown/redeliver`, { key, method: "POST" });
    expect(unknown).toMatchObject({ status: 404, body: { code: "not_found" } });
  });

  it("rotates the account's secret", async () => {
    const read = async () => (await callJson("/v1/webhooks/default/secret", { key })).body["key"];
    const before = await read();
    const rotated = await callJson("/v1/webhooks/default/secret", { key, method: "POST" });
    expect(rotated.status).toBe(201);
    expect(await read()).toBe(rotated.body["key"]);
    expect(rotated.body["key"]).not.toBe(before);
  });
});
