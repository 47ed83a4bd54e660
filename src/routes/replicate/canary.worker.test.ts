import { beforeAll, describe, expect, it, vi } from "vitest";
import { callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import type { PoolEvent } from "../../contract/event.ts";

const [ONE, TWO, THREE] = ["a", "b", "c"].map((digit) => digit.repeat(64)) as [string, string, string];
const WAIT = { timeout: 15_000, interval: 50 };
let owner = "";
let pool: FakePool;

beforeAll(async () => {
  owner = await newKey("trier");
  pool = await FakePool.open();
});

type Canary = {
  version: string;
  percent: number;
  step: number | null;
  outcome: string | null;
  reason: string | null;
  numbers: { base: Record<string, number>; canary: Record<string, number> };
};

const path = (name: string, more = "") => `/v1/models/trier/${name}${more}`;
const put = (name: string, body: unknown, alias = "latest") =>
  callJson(path(name, `/aliases/${alias}`), { method: "PUT", key: owner, body });
const canaryOf = async (name: string, alias = "latest") =>
  (await callJson(path(name, `/aliases/${alias}`), { key: owner })).body["canary"] as Canary | null;

/** A private model whose `latest` is ONE, with TWO beside it. */
async function make(name: string): Promise<void> {
  await callJson("/v1/models", { key: owner, body: { owner: "trier", name, visibility: "private", hardware: "cpu" } });
  for (const version of [TWO, ONE]) await offer({ owner: "trier", name, version });
}

type Asked = { id: string; version: string };
async function ask(
  name: string,
  headers: Record<string, string> = {},
  at = path(name, "/predictions"),
): Promise<Asked> {
  const { status, body } = await callJson(at, { key: owner, headers, body: { input: {} } });
  expect(status).toBe(201);
  return { id: String(body["id"]), version: String(body["version"]) };
}

/** Asks for a prediction and ends it: `fails` says of which versions the model raises. */
async function run(name: string, fails: (version: string) => boolean, at?: string): Promise<Asked> {
  const asked = await ask(name, {}, at);
  const event = fails(asked.version)
    ? { type: "failed", kind: "model", error: { code: "model_error", message: "the model raised" } }
    : { type: "succeeded", output: "done" };
  await pool.send(await pool.claim(asked.id), event as Partial<PoolEvent>);
  return asked;
}

/** Runs predictions until the canary has ended; the versions that they got. */
async function runUntilEnded(name: string, fails: (version: string) => boolean): Promise<Asked[]> {
  const asked: Asked[] = [];
  await vi.waitFor(async () => {
    for (let count = 0; count < 10; count += 1) asked.push(await run(name, fails));
    expect((await canaryOf(name))?.outcome).not.toBeNull();
  }, WAIT);
  return asked;
}

describe("a canary", () => {
  it("splits the predictions of its name, one key's the same way, and nobody's who names a version", async () => {
    await make("split");
    const started = await put("split", { canary: { version: TWO, percent: 50 } });
    expect(started.body["canary"]).toMatchObject({ version: TWO, base: ONE, percent: 50, sticky_by: "request" });
    const got = new Set<string>();
    for (let count = 0; count < 40; count += 1) got.add((await ask("split")).version);
    expect(got).toEqual(new Set([ONE, TWO]));
    const first = await ask("split", { "idempotency-key": "mine" });
    expect(await ask("split", { "idempotency-key": "mine" })).toEqual(first);
    for (let count = 0; count < 10; count += 1)
      expect((await ask("split", {}, path("split", `/versions/${ONE}/predictions`))).version).toBe(ONE);
  });

  it("has usage of both versions counted once, as their pools told it", async () => {
    await make("counted");
    await put("counted", { canary: { version: TWO, percent: 50 } });
    const told = { requests: 0, gpuUs: 0, versions: new Set<string>() };
    while (told.requests < 8 || told.versions.size < 2) {
      const { id, version } = await ask("counted");
      const usage = { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 + told.requests };
      await pool.send(await pool.claim(id), { type: "succeeded", output: "done", usage });
      told.requests += 1;
      told.gpuUs += usage.gpuUs;
      told.versions.add(version);
    }
    const read = async () => {
      const { body } = await callJson("/v1/usage?by=month&model=trier/counted", { key: owner });
      return (body["results"] as Record<string, unknown>[]).map(({ requests, gpu_us: us }) => [requests, us]);
    };
    await vi.waitFor(async () => expect(await read()).toEqual([[told.requests, told.gpuUs]]), WAIT);
  });

  it("is drawn by a simulation as by the request itself", async () => {
    await make("simulated");
    await put("simulated", { canary: { version: TWO, percent: 50 } });
    const simulate = async (more: object) => {
      const request = { model: "trier/simulated", account: "trier", ...more };
      const body = { settings: { plugins: {} }, request };
      return (await callJson("/admin/v1/settings/simulate", { key: testEnv.ADMIN_KEY ?? "", body })).body["chosen"];
    };
    const keyOf = new Map<string, string>();
    for (let count = 0; count < 100 && keyOf.size < 2; count += 1) {
      const chosen = (await simulate({ headers: { "Idempotency-Key": `key-${count}` } })) as { version: string };
      keyOf.set(chosen.version, `key-${count}`);
    }
    expect(keyOf.size).toBe(2);
    for (const [version, key] of keyOf) {
      const headers = { "idempotency-key": key };
      expect((await ask("simulated", headers)).version).toBe(version);
      const isTried = version === TWO;
      expect(await simulate({ headers })).toEqual({
        ...{ version, by: isTried ? "canary" : "request", rule: null },
        canary: { version: TWO, percent: 50, sticky_by: "request", arm: isTried ? "canary" : "base" },
      });
    }
    expect(await simulate({ version: ONE })).toEqual({ version: ONE, by: "request", rule: null, canary: null });
  });

  it("keeps an account, or who sends a header, with one version", async () => {
    await make("sticky");
    const versions = async (headers: Record<string, string> = {}) => {
      const got = new Set<string>();
      for (let count = 0; count < 20 && got.size < 2; count += 1) got.add((await ask("sticky", headers)).version);
      return got.size;
    };
    await put("sticky", { canary: { version: TWO, percent: 50, sticky_by: "account" } });
    expect(await versions()).toBe(1);
    await put("sticky", { canary: { version: TWO, percent: 50, sticky_by: "header:x-user" } });
    expect(await versions({ "x-user": "ada" })).toBe(1);
    expect(await versions()).toBe(2);
  });

  it("that fails half of the time returns by itself, and says why; nobody else's predictions fail", async () => {
    await make("failing");
    await put("failing", { canary: { version: TWO, percent: 50 } });
    let turn = 0;
    const asked = await runUntilEnded("failing", (version) => version === TWO && (turn += 1) % 2 === 0);
    const canary = await canaryOf("failing");
    expect(canary).toMatchObject({ version: TWO, outcome: "returned", numbers: { base: { failed: 0 } } });
    expect(canary?.reason).toMatch(/^of \d+ predictions of b{12} \d+ failed .* of a{12} 0 failed \(0 %\)/);
    expect(canary?.numbers.canary["failed"]).toBeGreaterThanOrEqual(3);
    for (const { id, version } of asked.filter((one) => one.version === ONE)) {
      const { body } = await callJson(`/v1/predictions/${id}`, { key: owner });
      expect([version, body["status"]]).toEqual([ONE, "succeeded"]);
    }
    for (let count = 0; count < 20; count += 1) expect((await ask("failing")).version).toBe(ONE);
  });

  it("that is fine goes on, and counts; what is canceled doesn't", async () => {
    await make("fine");
    await put("fine", { canary: { version: TWO, percent: 50 } });
    const ran: Asked[] = [];
    for (let count = 0; count < 20; count += 1) ran.push(await run("fine", () => false));
    const canceled = await ask("fine");
    await callJson(`/v1/predictions/${canceled.id}/cancel`, { method: "POST", key: owner });
    const tried = ran.filter(({ version }) => version === TWO).length;
    await vi.waitFor(async () => {
      expect((await canaryOf("fine"))?.numbers).toEqual({
        base: { ended: 20 - tried, failed: 0, unstarted: 0 },
        canary: { ended: tried, failed: 0, unstarted: 0 },
      });
    }, WAIT);
    expect(await canaryOf("fine")).toMatchObject({ outcome: null, reason: null });
  });

  it("goes up its steps and is promoted, and can be taken back", async () => {
    await make("stepping");
    const steps = [50, 100].map((percent) => ({ percent, bake_s: 0 }));
    expect((await put("stepping", { canary: { version: TWO, steps } })).body["canary"]).toMatchObject({
      percent: 50,
      step: 0,
    });
    await runUntilEnded("stepping", () => false);
    expect(await canaryOf("stepping")).toMatchObject({ version: TWO, percent: 100, outcome: "promoted" });
    await vi.waitFor(async () => expect((await ask("stepping")).version).toBe(TWO), WAIT);
    const back = await callJson(path("stepping", "/aliases/latest/rollback"), { method: "POST", key: owner });
    expect(back.body["version"]).toBe(ONE);
  });

  it("ends when its name is moved: promoted, aborted, or moved by a push", async () => {
    await make("ending");
    const start = () => put("ending", { canary: { version: TWO, percent: 100 } });
    await start();
    expect((await ask("ending")).version).toBe(TWO);
    expect((await put("ending", { canary: null })).body["canary"]).toMatchObject({ outcome: "aborted" });
    expect((await ask("ending")).version).toBe(ONE);
    await start();
    expect((await put("ending", { version: TWO })).body).toMatchObject({
      version: TWO,
      canary: { outcome: "promoted" },
    });
    await put("ending", { version: ONE });
    await start();
    await offer({ owner: "trier", name: "ending", version: THREE });
    expect((await ask("ending")).version).toBe(THREE);
    expect(await canaryOf("ending")).toMatchObject({ outcome: "moved" });
    // Pools fetch the version ahead no longer.
    const row = testEnv.DB.prepare("SELECT outcome FROM canaries WHERE name = 'ending' AND ended_at IS NOT NULL");
    expect(await row.first("outcome")).toBe("moved");
  });

  it("takes what can be meant", async () => {
    await make("strict");
    for (const [field, canary] of [
      ["canary.version", { version: ONE, percent: 5 }],
      ["canary.percent", { version: TWO }],
      ["canary.percent", { version: TWO, percent: 0 }],
      ["canary.percent", { version: TWO, percent: 5, steps: [{ percent: 5, bake_s: 0 }] }],
      ["canary.steps", { version: TWO, steps: [50, 5].map((percent) => ({ percent, bake_s: 0 })) }],
      ...["authorization", "cookie", "proxy-authorization"].map(
        (name) => ["canary.sticky_by", { version: TWO, percent: 5, sticky_by: `header:${name}` }] as const,
      ),
    ] as const)
      expect((await put("strict", { canary })).body["invalid_fields"]).toMatchObject([{ field }]);
    expect((await put("strict", {})).body["invalid_fields"]).toMatchObject([{ field: "version" }]);
    expect((await put("strict", { canary: { version: THREE, percent: 5 } })).body["code"]).toBe("version_not_found");
    expect((await put("strict", { canary: { version: TWO, percent: 5 } }, "none")).status).toBe(404);
    expect(await canaryOf("strict")).toBeNull();
  });

  it("holds its version: deleting that is refused, and ends it when forced", async () => {
    await make("held");
    await put("held", { canary: { version: TWO, percent: 50 } });
    const remove = (query = "") => callJson(path("held", `/versions/${TWO}${query}`), { method: "DELETE", key: owner });
    const refused = await remove();
    expect([refused.status, refused.body["detail"]]).toEqual([409, expect.stringContaining("trier/held:latest")]);
    expect((await remove("?force=true")).status).toBe(202);
    expect(await canaryOf("held")).toMatchObject({ outcome: "aborted", reason: "Its version was deleted." });
    for (let count = 0; count < 10; count += 1) expect((await ask("held")).version).toBe(ONE);
  });
});

it("that tries what its name is being pointed to is refused, and moves nothing", async () => {
  await make("same");
  const bounds = { hardware: "cpu", min_instances: 0, max_instances: 1 };
  const deployment = { name: "same", model: "trier/same", version: ONE, ...bounds };
  await callJson("/v1/deployments", { key: owner, body: deployment });
  const body = { version: TWO, canary: { version: TWO, percent: 5 } };
  const change = { method: "PATCH", key: owner, body };
  for (const { status } of [await put("same", body), await callJson("/v1/deployments/trier/same", change)])
    expect(status).toBe(422);
  expect((await callJson(path("same", "/aliases/latest"), { key: owner })).body["version"]).toBe(ONE);
  const now = await callJson("/v1/deployments/trier/same", { key: owner });
  expect(now.body["current_release"]).toMatchObject({ number: 1, version: ONE });
});

describe("a deployment's canary", () => {
  const deployment = "/v1/deployments/trier/served";
  const change = (body: unknown) => callJson(deployment, { method: "PATCH", key: owner, body });

  it("splits what the deployment accepts, and makes no release of its own", async () => {
    await make("served");
    const bounds = { hardware: "cpu", min_instances: 0, max_instances: 1 };
    await callJson("/v1/deployments", {
      key: owner,
      body: { name: "served", model: "trier/served", version: ONE, ...bounds },
    });
    const started = await change({ canary: { version: TWO, percent: 100 } });
    expect(started.body).toMatchObject({ current_release: { number: 1 }, canary: { version: TWO, outcome: null } });
    expect((await ask("served", {}, `${deployment}/predictions`)).version).toBe(TWO);
    expect((await ask("served")).version).toBe(ONE);
    expect((await change({ version: TWO })).body).toMatchObject({
      current_release: { number: 2, version: TWO },
      canary: { outcome: "promoted" },
    });
    await change({ canary: { version: ONE, percent: 100 } });
    expect((await change({ canary: null })).body).toMatchObject({ canary: { outcome: "aborted" } });
    expect((await ask("served", {}, `${deployment}/predictions`)).version).toBe(TWO);
  });

  it("is one against the version of now, whatever this isolate remembers of the deployment", async () => {
    await make("moved-elsewhere");
    const at = "/v1/deployments/trier/moved-elsewhere";
    const bounds = { hardware: "cpu", min_instances: 0, max_instances: 1 };
    const body = { name: "moved-elsewhere", model: "trier/moved-elsewhere", version: ONE, ...bounds };
    await callJson("/v1/deployments", { key: owner, body });
    // As another isolate does.
    await testEnv.DB.prepare("UPDATE deployments SET version = ?, release = 2 WHERE name = 'moved-elsewhere'")
      .bind(TWO)
      .run();
    const started = await callJson(at, {
      method: "PATCH",
      key: owner,
      body: { canary: { version: ONE, percent: 100 } },
    });
    expect(started.body).toMatchObject({ current_release: { number: 2 }, canary: { base: TWO, version: ONE } });
  });
});
