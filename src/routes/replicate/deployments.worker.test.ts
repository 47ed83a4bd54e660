import { beforeAll, describe, expect, it, vi } from "vitest";
import { createCountedEnv } from "../../../test/worker/counted-env.ts";
import { callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";

const VERSION = "d".repeat(64);
const NEXT = "e".repeat(64);
const MODEL = "acme/deployed";
let key = "";
let stranger = "";

beforeAll(async () => {
  key = await newKey("deployer");
  stranger = await newKey("onlooker");
  for (const version of [VERSION, NEXT]) await offer({ name: "deployed", version });
});

const deployment = (name: string, more: Record<string, unknown> = {}) => ({
  name,
  model: MODEL,
  version: VERSION,
  hardware: "gpu-t4",
  min_instances: 0,
  max_instances: 2,
  ...more,
});
const make = (name: string, more: Record<string, unknown> = {}) =>
  callJson("/v1/deployments", { key, body: deployment(name, more) });
const path = (name: string) => `/v1/deployments/deployer/${name}`;

describe("deployments", () => {
  it("are made with their first release, listed and read", async () => {
    const made = await make("first");
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      owner: "deployer",
      name: "first",
      current_release: {
        number: 1,
        model: MODEL,
        version: VERSION,
        created_by: { type: "organization", username: "deployer" },
        configuration: { hardware: "gpu-t4", min_instances: 0, max_instances: 2 },
      },
    });
    expect((await callJson(path("first"), { key })).body).toEqual(made.body);
    const { canary, ...listed } = made.body;
    expect(canary).toBeNull();
    expect((await callJson("/v1/deployments", { key })).body["results"]).toEqual([listed]);
  });

  it("are simulated by their release, and their canary, and nobody else's", async () => {
    await make("simulated");
    const simulate = async (account: string, deployment: string) => {
      const request = { account, deployment, model: "not/this", version: "nor-this" };
      const body = { settings: { plugins: {} }, request };
      return (await callJson("/admin/v1/settings/simulate", { key: testEnv.ADMIN_KEY ?? "", body })).body;
    };
    const plain = { version: VERSION, by: "request", rule: null, canary: null };
    expect(await simulate("deployer", "deployer/simulated")).toMatchObject({ refused: null, chosen: plain });
    await callJson(path("simulated"), { method: "PATCH", key, body: { canary: { version: NEXT, percent: 100 } } });
    expect((await simulate("deployer", "deployer/simulated"))["chosen"]).toMatchObject({ version: NEXT, by: "canary" });
    for (const [account, name] of [
      ["onlooker", "deployer/simulated"],
      ["deployer", "deployer/nothing"],
    ] as const)
      expect((await simulate(account, name))["refused"]).toMatchObject({ phase: null, code: "not_found" });
  });

  it("are listed with one question for their account, however many there are", async () => {
    await Promise.all(["one", "two", "three"].map((name) => make(name)));
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
    const { env, calls } = createCountedEnv(testEnv);
    const { status } = await callJson("/v1/deployments", { key, env });
    vi.useRealTimers();
    expect(status).toBe(200);
    const asked = Object.entries(calls).filter(([name]) => name.includes("FROM accounts"));
    expect(asked.map(([, count]) => count)).toEqual([1]);
  });

  it("take a release with every change", async () => {
    await make("growing");
    const change = (body: object) => callJson(path("growing"), { method: "PATCH", key, body });
    expect((await change({ min_instances: 1 })).body).toMatchObject({ current_release: { number: 2 } });
    expect((await change({ version: NEXT, hardware: "cpu" })).body).toMatchObject({
      current_release: {
        number: 3,
        version: NEXT,
        configuration: { hardware: "cpu", min_instances: 1, max_instances: 2 },
      },
    });
    expect((await change({ max_instances: 0 })).body["invalid_fields"]).toMatchObject([{ field: "max_instances" }]);
    expect((await change({ version: "0".repeat(64) })).body["code"]).toBe("version_not_found");
  });

  it("refuse a second of the name, and what doesn't fit", async () => {
    await make("unique");
    expect((await make("unique")).body["code"]).toBe("already_exists");
    expect((await make("x", { version: "9".repeat(64) })).body["code"]).toBe("version_not_found");
    for (const [field, value] of [
      ["name", "Not A Name"],
      ["model", "no-owner"],
      ["version", "Not An Alias"],
      ["min_instances", -1],
      ["max_instances", 1.5],
      ["hardware", ""],
    ] as const) {
      const { status, body } = await make("bad", { [field]: value });
      expect([status, body["invalid_fields"]]).toMatchObject([422, [{ field }]]);
    }
  });

  it("are the account's alone", async () => {
    await make("private");
    for (const [method, body] of [["GET"], ["PATCH", {}], ["DELETE"]] as const) {
      const answer = await callJson(path("private"), {
        method,
        key: stranger,
        ...(body === undefined ? {} : { body }),
      });
      expect([method, answer.status, answer.body["code"]]).toEqual([method, 404, "not_found"]);
    }
    const run = await callJson(`${path("private")}/predictions`, { key: stranger, body: { input: {} } });
    expect(run.status).toBe(404);
    expect((await callJson("/v1/deployments", { key: stranger })).body["results"]).toEqual([]);
  });

  it("go away, and what they accepted stays", async () => {
    await make("leaving");
    const run = await callJson(`${path("leaving")}/predictions`, { key, body: { input: {} } });
    expect((await callJson(path("leaving"), { method: "DELETE", key })).status).toBe(204);
    expect((await callJson(path("leaving"), { method: "DELETE", key })).status).toBe(404);
    expect((await callJson(`${path("leaving")}/predictions`, { key, body: { input: {} } })).status).toBe(404);
    expect((await callJson(`/v1/predictions/${String(run.body["id"])}`, { key })).status).toBe(200);
  });
});

describe("a prediction through a deployment", () => {
  it("runs the version of its release, and says whose it is", async () => {
    await make("serving");
    const run = (headers = {}) => callJson(`${path("serving")}/predictions`, { key, headers, body: { input: {} } });
    const first = await run({ "idempotency-key": "once" });
    expect(first.status).toBe(201);
    expect(first.body).toMatchObject({ model: MODEL, version: VERSION, deployment: "deployer/serving" });
    await (await FakePool.open()).run(String(first.body["id"]), "done");
    expect((await callJson(`/v1/predictions/${String(first.body["id"])}`, { key })).body).toMatchObject({
      status: "succeeded",
      deployment: "deployer/serving",
    });
    await callJson(path("serving"), { method: "PATCH", key, body: { version: NEXT } });
    expect((await run()).body).toMatchObject({ version: NEXT });
    const again = await run({ "idempotency-key": "once" });
    expect([again.status, again.body["id"], again.body["version"]]).toEqual([201, first.body["id"], VERSION]);
  });
});
