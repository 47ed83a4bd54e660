/** Prices, budgets and balances, as clients and the operator see them. */
import { runInDurableObject } from "cloudflare:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { describe, expect, it, vi } from "vitest";
import { call, callJson, newKey, testEnv } from "../../../test/worker/edge-harness.ts";
import { MILLION, MODEL, operator, pricedGateway as gateway } from "../../../test/worker/priced-gateway.ts";
import type { Env } from "../../env.ts";

describe("the cost of a prediction", () => {
  it("is estimated before, final behind, by the price that held when it was accepted, and in the headers", async () => {
    const { create, read, run, publish, operate, account, env, key } = await gateway(2 * MILLION, {
      price: { per_request_nano: 7 },
    });
    const { id, cost, headers } = await create();
    const estimate = { state: "estimated", nano: 2 * MILLION + 7, amount: "0.002000007", currency: "USD" };
    expect(cost).toEqual({ ...estimate, basis: "default" });
    expect(headers.get("edgeplane-cost")).toBe("0.002000007 USD; estimated");
    await publish(900 * MILLION);
    await run(id, 0.5);
    expect(await read(id)).toMatchObject({
      status: "succeeded",
      cost: { state: "final", nano: MILLION + 7, amount: "0.001000007", currency: "USD" },
    });
    const { headers: told } = await callJson(`/v1/predictions/${id}`, { key, env });
    expect(told.get("edgeplane-cost")).toBe("0.001000007 USD; final");
    expect(told.get("access-control-expose-headers")?.split(",")).toContain("edgeplane-cost");
    const { body } = await operate("/settings/simulate", "POST", { request: { account, model: MODEL } });
    expect(body["cost"]).toMatchObject({ state: "estimated", nano: 900 * MILLION + 7 });
  });

  it("is nothing where nothing is billed, and isn't there where there is no price", async () => {
    const { create, read, run, key, env } = await gateway(MILLION);
    const free = await create({ model: "acme/free" });
    expect([free.cost, free.headers.get("edgeplane-cost")]).toEqual([undefined, null]);
    const canceled = await create();
    await call(`/v1/predictions/${canceled.id}/cancel`, { method: "POST", key, env });
    expect(await read(canceled.id)).toMatchObject({ status: "canceled", cost: { state: "final", nano: 0 } });
    const failed = await create();
    await run(failed.id, 3, { type: "failed", kind: "model", error: { code: "model_error", message: "no" } });
    expect(await read(failed.id)).toMatchObject({ status: "failed", cost: { nano: 3 * MILLION } });
    const invalid = await create();
    await run(invalid.id, 3, { type: "failed", kind: "model", error: { code: "disk_full", message: "no" } });
    expect(await read(invalid.id)).toMatchObject({ status: "failed", cost: { nano: 0 } });
  });
});

describe("a price", () => {
  it("of a model that nobody offers is told of, and of what can be none refused", async () => {
    const { operate } = await gateway(MILLION);
    const publish = (models: object, more: object = {}) => {
      const settings = { plugins: { "api-key": {} }, prices: { currency: "USD", models }, ...more };
      return operate("/settings", "POST", { settings, why: "a test", dry_run: true });
    };
    const price = { per_request_nano: 1 };
    const misspelt = await publish(
      { [MODEL]: price, "acme/prized": price, "nobody/priced": price },
      { models: { "acme/freee": { plugins: {} }, "acme/free": { plugins: {} } } },
    );
    expect(misspelt).toMatchObject({ status: 200 });
    const warnings = misspelt.body["warnings"] as string[];
    expect(warnings.map((one) => one.split(":")[0])).toEqual([
      "settings.prices.models.acme/prized",
      "settings.prices.models.nobody/priced",
      "settings.models.acme/freee",
    ]);
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`acme/none-${index}`, price]));
    expect((await publish(many)).body["warnings"]).toHaveLength(51);
    expect(await publish({ "Acme/Priced": price })).toMatchObject({ status: 422 });
    expect((await publish({ [MODEL]: price })).body["warnings"]).toEqual([]);
  });
});

describe("a budget", () => {
  const of = (limit: number, more: object = {}) => ({ limit_nano: limit, currency: "USD", ...more });

  it("reserves what a prediction should cost, settles what it did, and refuses with 402 and when to come back", async () => {
    const { create, run, operate, account, expectBudget, key, env } = await gateway(MILLION);
    expect((await operate(`/budgets/account/${account}/day`, "PUT", of(2 * MILLION))).status).toBe(200);
    const [first, second] = [await create(), await create()];
    expect([first.status, second.status]).toEqual([201, 201]);
    const third = await create();
    expect(third).toMatchObject({ status: 402, code: "budget_spent" });
    expect(third.body["detail"]).toContain("0.002000000 USD a day, has 0.000000000 USD left");
    expect(Number(third.headers.get("retry-after"))).toBeGreaterThan(0);
    await run(first.id, 0.25);
    await expectBudget([250_000, MILLION, 750_000]);
    await run(second.id, 1.5);
    await expectBudget([1_750_000, 0, 250_000]);
    await vi.waitFor(
      async () => {
        const { body } = await callJson("/v1/usage", { key, env });
        expect(body["results"]).toMatchObject([{ requests: 2, billed: 2, cost_nano: "1750000", currency: "USD" }]);
      },
      { timeout: 15_000, interval: 50 },
    );
    expect(await create()).toMatchObject({ status: 402 });
  });

  it("gives all back of what never ran, and counts a request that comes again once", async () => {
    const { create, operate, account, budget, expectBudget, key, env } = await gateway(MILLION);
    await operate(`/budgets/account/${account}/month`, "PUT", of(10 * MILLION));
    const headers = { "idempotency-key": "the same" };
    const first = await create({ headers });
    for (let again = 0; again < 3; again += 1) expect((await create({ headers })).id).toBe(first.id);
    await expectBudget([0, MILLION, 9 * MILLION]);
    expect((await create({ input: { text: 7 }, model: "acme/absent" })).status).toBe(404);
    await call(`/v1/predictions/${first.id}/cancel`, { method: "POST", key, env });
    await expectBudget([0, 0, 10 * MILLION]);
    expect(await budget("key")).toBeNull();
  });

  it("outlives its key: it can be read and removed, as the list names it", async () => {
    const { operate, account, key } = await gateway(MILLION);
    const { body } = await operate(`/keys?account=${account}`);
    const id = (body["results"] as { id: string; hint: string }[]).find(({ hint }) => key.endsWith(hint))?.id ?? "";
    const path = `/budgets/key/${id}/all`;
    expect((await operate(path, "PUT", of(MILLION))).status).toBe(200);
    await testEnv.DB.prepare("DELETE FROM api_keys WHERE id = ?").bind(id).run();
    expect((await operate(path)).body).toMatchObject({ scope: "key", of: id, limit_nano: MILLION });
    expect((await operate(`/budgets/key/${id}/day`, "PUT", of(MILLION))).status).toBe(404);
    expect((await operate(path, "DELETE")).status).toBe(204);
    expect((await operate(path)).status).toBe(404);
    expect((await operate(`/budgets?account=${account}`)).body).toEqual({ results: [] });
  });

  it("tells its receiver nothing of requests that are simulated", async () => {
    const { operate, account } = await gateway(MILLION);
    const webhook = `https://${account}.example.com/`;
    await operate(`/budgets/account/${account}/day`, "PUT", of(1, { webhook }));
    const { body } = await operate("/settings/simulate", "POST", { request: { account, model: MODEL } });
    expect(body["refused"]).toMatchObject({ code: "budget_spent" });
    const accounts = (await operate("/accounts?limit=1000")).body["results"] as { id: string; name: string }[];
    const ledger = testEnv.LEDGER.getByName(`account:${accounts.find(({ name }) => name === account)?.id}`);
    // A refusal alone stores what was told of it, and nothing else.
    const tables = await runInDurableObject(ledger, (_, { storage }) => [
      ...storage.sql.exec("SELECT name FROM sqlite_master WHERE name IN ('bucket', 'alert')"),
    ]);
    expect(tables).toEqual([]);
  });

  it("counts each key and each account by itself, and a model's of all", async () => {
    const { create, operate, account, key, env } = await gateway(MILLION);
    const greedy = await newKey(account);
    const { body } = await operate(`/keys?account=${account}`);
    const greedyId = (body["results"] as { id: string; hint: string }[]).find(({ hint }) => greedy.endsWith(hint))?.id;
    expect((await operate(`/budgets/key/${greedyId}/all`, "PUT", of(MILLION))).status).toBe(200);
    expect((await create({ key: greedy })).status).toBe(201);
    const refused = await create({ key: greedy });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([402, null]);
    expect((await create({ key })).status).toBe(201);
    const { body: own } = await callJson("/v1/budgets", { key: greedy, env });
    expect(own["results"]).toMatchObject([{ scope: "key", of: greedyId, kind: "hard", left_nano: 0 }]);
    expect((await callJson("/v1/budgets", { key, env })).body["results"]).toEqual([]);
  });

  it("leaves a limit uncharged when it refuses, and is left uncharged by one that does", async () => {
    const limits = [{ name: "n", per: "account", limit: 3, windowMs: 366 * 86_400_000, algorithm: "fixed-window" }];
    const { create, operate, account, expectBudget } = await gateway(MILLION, {
      plugins: { "rate-limit": { config: { limits } } },
    });
    await operate(`/budgets/account/${account}/day`, "PUT", of(MILLION));
    const first = await create();
    for (let count = 0; count < 5; count += 1) expect((await create()).status).toBe(402);
    await operate(`/budgets/account/${account}/day`, "PUT", of(100 * MILLION));
    await vi.waitFor(async () => expect((await create()).status).toBe(201), { timeout: 15_000, interval: 100 });
    expect((await create()).status).toBe(201);
    for (let count = 0; count < 3; count += 1) expect((await create()).code).toBe("account_limit_reached");
    expect(first.status).toBe(201);
    await expectBudget([0, 3 * MILLION, 97 * MILLION]);
  });

  it("bills no more than a strict one has reserved: the price of the time that a run may take", async () => {
    const { create, run, operate, account, read, expectBudget } = await gateway(MILLION, {
      price: { per_unit_nano: { tokens: 1e12 } },
    });
    await operate(`/budgets/account/${account}/day`, "PUT", of(7_200 * MILLION, { kind: "strict" }));
    const first = await create();
    const reserved = Number((await operate(`/budgets/account/${account}/day`)).body["reserved_nano"]);
    expect(reserved).toBeGreaterThan(60 * MILLION);
    await run(first.id, 1);
    expect(await read(first.id)).toMatchObject({ cost: { state: "final", nano: reserved } });
    await expectBudget([reserved, 0, 7_200 * MILLION - reserved]);
  });

  it("is refused where nothing would hold predictions to it, or for whom isn't there", async () => {
    const { operate, account } = await gateway(MILLION);
    const put = (path: string, body: object) => operate(`/budgets/${path}`, "PUT", body);
    expect(await put(`account/${account}/day`, of(1, { currency: "EUR" }))).toMatchObject({ status: 409 });
    expect(await put(`account/nobody/day`, of(1))).toMatchObject({ status: 404 });
    expect(await put(`key/none/day`, of(1))).toMatchObject({ status: 404 });
    expect(await put(`model/acme/day`, of(1))).toMatchObject({ status: 400 });
    expect(await put(`account/${account}/week`, of(1))).toMatchObject({ status: 400 });
    expect(await put(`account/${account}/day`, of(-1))).toMatchObject({ status: 422 });
    const webhook = "http://10.0.0.1/";
    expect(await put(`account/${account}/day`, of(1, { webhook }))).toMatchObject({ status: 422 });
    expect(await put(`model/acme%2Fpriced/day`, of(2 ** 50))).toMatchObject({ status: 200 });
    expect(await operate("/budgets?model=acme/priced")).toMatchObject({ body: { results: [{ of: "acme/priced" }] } });
    expect(await operate(`/budgets/model/acme%2Fpriced/day`, "DELETE")).toMatchObject({ status: 204 });
    expect(await operate(`/budgets/model/acme%2Fpriced/day`)).toMatchObject({ status: 404 });
    expect(await operate("/budgets")).toMatchObject({ status: 400 });
    const off = await gateway(MILLION, { plugins: { budget: undefined } });
    expect(await off.operate(`/budgets/account/${account}/day`, "PUT", of(1))).toMatchObject({ status: 409 });
  });
});

describe("a dead letter that is replayed", () => {
  it("is priced and reserved anew, once, and stays open where a budget refuses it", async () => {
    const { create, run, operate, account, read, expectBudget } = await gateway(MILLION);
    const { id } = await create();
    await run(id, 1, { type: "failed", kind: "model", error: { code: "model_unresponsive", message: "" } });
    const limit = (nano: number) =>
      operate(`/budgets/account/${account}/day`, "PUT", { limit_nano: nano, currency: "USD" });
    const replay = async () => {
      const { body } = await operate("/dead-letters/replay", "POST", { ids: [id] });
      return (body["results"] as { outcome: string; replayed_as: string; code?: string }[])[0];
    };
    await limit(MILLION - 1);
    expect(await replay()).toMatchObject({ outcome: "refused", code: "budget_spent", replayed_as: null });
    await limit(9 * MILLION);
    const made = await replay();
    expect(made?.outcome).toBe("created");
    const replayed = String(made?.replayed_as);
    expect(await read(replayed)).toMatchObject({ cost: { state: "estimated", nano: MILLION } });
    expect(await replay()).toMatchObject({ outcome: "existing", replayed_as: replayed });
    await expectBudget([0, MILLION, 8 * MILLION]);
    await limit(1);
    expect(await replay()).toMatchObject({ outcome: "existing", replayed_as: replayed });
    await run(replayed, 0.5);
    expect(await read(replayed)).toMatchObject({ cost: { state: "final", nano: MILLION / 2 } });
    await expectBudget([MILLION / 2, 0, 1 - MILLION / 2]);
  });
});

describe("a budget of a caller with tokens", () => {
  it("holds what they run in their account, and says how it is to be named", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "own" }] };
    const [issuer, scopes] = ["https://login.example.com/", ["predictions:write", "account:read"]];
    const login = { name: "login", issuer, audience: "edgeplane", jwks, accountClaim: "org", scopes };
    const { create, operate, account, env } = await gateway(MILLION, {
      plugins: { jwt: { config: { issuers: [login] } } },
    });
    const tokenOf = async (sub: string) =>
      new SignJWT({ iss: issuer, aud: "edgeplane", sub, org: account, exp: Date.now() / 1000 + 600 })
        .setProtectedHeader({ alg: "ES256", kid: "own" })
        .sign(privateKey);
    const [ada, bob] = [await tokenOf("ada/lovelace x"), await tokenOf("bob")];
    const path = "/budgets/key/jwt:login:ada%2Flovelace%20x/day";
    const set = (more: object, at = path) => operate(at, "PUT", { limit_nano: MILLION, currency: "USD", ...more });
    const unnamed = await set({});
    expect([unnamed.status, String(unnamed.body["detail"])]).toEqual([404, expect.stringContaining("`account`")]);
    expect(await set({ account: "nobody" })).toMatchObject({ status: 404 });
    expect(await set({ account }, `/budgets/account/${account}/day`)).toMatchObject({ status: 422 });
    expect(await set({ account }, "/budgets/key/jwt:other:ada/day")).toMatchObject({ status: 409 });
    expect(await set({ account })).toMatchObject({
      status: 200,
      body: { scope: "key", of: "jwt:login:ada/lovelace x" },
    });
    await newKey(`${account}-2`);
    expect(await set({ account: `${account}-2` })).toMatchObject({ status: 409 });
    expect((await create({ key: ada })).status).toBe(201);
    expect(await create({ key: ada })).toMatchObject({ status: 402, code: "budget_spent" });
    expect((await create({ key: bob })).status).toBe(201);
    expect((await callJson("/v1/budgets", { key: ada, env })).body["results"]).toMatchObject([{ left_nano: 0 }]);
    expect((await callJson("/v1/budgets", { key: bob, env })).body["results"]).toEqual([]);
    expect((await set({ limit_nano: 5 * MILLION })).body).toMatchObject({ reserved_nano: MILLION });
    expect((await operate(path, "DELETE")).status).toBe(204);
  });
});

describe("a balance", () => {
  it("says who is told when it runs low, once it was paid into", async () => {
    const { create, run, operate, account, key, env } = await gateway(MILLION);
    const path = `/accounts/${account}/balance`;
    const webhook = `https://${account}.example.com/`;
    const alerts = { webhook, alert_below_nano: 2 * MILLION };
    expect(await operate(path, "PUT", alerts)).toMatchObject({ status: 404 });
    const payment = { amount_nano: 3 * MILLION, currency: "USD", why: "test" };
    await operate(path, "POST", payment, { "idempotency-key": "one" });
    expect(await operate(path, "PUT", { ...alerts, webhook: "http://10.0.0.1/" })).toMatchObject({ status: 422 });
    expect(await operate(path, "PUT", alerts)).toMatchObject({
      status: 200,
      body: { ...alerts, left_nano: 3 * MILLION },
    });
    const own = (await callJson("/v1/budgets", { key, env })).body["results"];
    expect(own).toMatchObject([{ period: "balance" }]);
    expect(JSON.stringify(own)).not.toMatch(/webhook|alert/);
    const { id } = await create();
    await run(id, 1.5);
    const accounts = (await operate("/accounts?limit=1000")).body["results"] as { id: string; name: string }[];
    const accountId = accounts.find(({ name }) => name === account)?.id;
    const told = async () =>
      runInDurableObject(testEnv.LEDGER.getByName(`account:${accountId}`), (_, { storage }) => {
        const [row] = storage.sql.exec("SELECT value FROM bucket");
        return JSON.parse(String(row?.["value"])) as object;
      });
    const low = { alerted: 1, alert: { url: webhook, account: accountId, of: `account:${account}` } };
    await vi.waitFor(async () => expect(await told()).toMatchObject(low), { timeout: 15_000, interval: 50 });
    await operate(path, "POST", payment, { "idempotency-key": "two" });
    expect(await told()).toMatchObject({ alerted: 0 });
    expect(await operate(path)).toMatchObject({ body: { webhook, alert_below_nano: 2 * MILLION } });
  });

  it("is removed once nothing is left or reserved of it, and remembers its payments", async () => {
    const { create, run, operate, account, expectBudget } = await gateway(MILLION);
    const path = `/accounts/${account}/balance`;
    const pay = (key: string, nano: number) => {
      const payment = { amount_nano: nano, currency: "USD", why: "test" };
      return operate(path, "POST", payment, { "idempotency-key": key });
    };
    expect(await operate(path, "DELETE")).toMatchObject({ status: 404 });
    await pay("one", 2 * MILLION);
    const { id } = await create();
    expect(await operate(path, "DELETE")).toMatchObject({ status: 409, body: { code: "conflict" } });
    await run(id, 1.5);
    await expectBudget([1_500_000, 0, 500_000]);
    const refused = await operate(path, "DELETE");
    expect(refused).toMatchObject({ status: 409 });
    expect(refused.body["detail"]).toContain("0.000500000 USD left, and 0.000000000 reserved: take that out first");
    await pay("back", -500_000);
    expect((await create()).status).toBe(402);
    expect((await operate(path, "DELETE")).status).toBe(204);
    expect((await operate(path)).status).toBe(404);
    expect((await create()).status).toBe(201);
    expect(await pay("two", MILLION)).toMatchObject({
      status: 201,
      body: { left_nano: MILLION, spent_nano: 1_500_000 },
    });
    expect(await pay("one", 2 * MILLION)).toMatchObject({ status: 200, body: { left_nano: MILLION } });
  });

  it("stays where somebody pays in while it is removed", async () => {
    const { operate, account, env } = await gateway(MILLION);
    const path = `/accounts/${account}/balance`;
    const pay = (key: string, nano: number) => {
      const payment = { amount_nano: nano, currency: "USD", why: "test" };
      return operate(path, "POST", payment, { "idempotency-key": key });
    };
    await pay("one", MILLION);
    await pay("back", -MILLION);
    await operate(path, "PUT", { webhook: "https://receiver.example.com/", alert_below_nano: 5 });
    let isPaid = false;
    const getByName = (name: string) => {
      const ledger = testEnv.LEDGER.getByName(name);
      const read = async (asked: Parameters<typeof ledger.read>[0]) => {
        const states = await ledger.read(asked);
        if (!isPaid) await ledger.payIn("two", { bucket: asked[0]?.bucket ?? "", nano: 7, at: 0, why: "test" });
        isPaid = true;
        return states;
      };
      return { read };
    };
    const racing = { ...env, LEDGER: { getByName } as unknown as Env["LEDGER"] };
    const removed = await callJson(`/admin/v1${path}`, { key: operator, env: racing, method: "DELETE" });
    expect(removed).toMatchObject({ status: 409, body: { code: "conflict" } });
    expect(await operate(path)).toMatchObject({ status: 200, body: { left_nano: 7, alert_below_nano: 5 } });
  });

  it("is paid in once for each key, and at its end predictions are refused with 402", async () => {
    const { create, run, operate, account, expectBudget } = await gateway(MILLION);
    const pay = (key: string, nano: number) =>
      operate(
        `/accounts/${account}/balance`,
        "POST",
        { amount_nano: nano, currency: "USD", why: "test" },
        {
          "idempotency-key": key,
        },
      );
    expect((await operate(`/accounts/${account}/balance`)).status).toBe(404);
    expect(await pay("one", 2 * MILLION)).toMatchObject({ status: 201, body: { left_nano: 2 * MILLION } });
    expect(await pay("one", 2 * MILLION)).toMatchObject({ status: 200, body: { left_nano: 2 * MILLION } });
    expect(await pay("one", 3 * MILLION)).toMatchObject({ status: 422, body: { code: "idempotency_key_reused" } });
    const first = await create();
    await run(first.id, 1.5);
    await expectBudget([1_500_000, 0, 500_000]);
    const refused = await create();
    expect(refused).toMatchObject({ status: 402, code: "balance_empty", body: { title: "The balance is used up" } });
    expect(refused.headers.get("retry-after")).toBeNull();
    await pay("two", MILLION);
    expect((await create()).status).toBe(201);
  });
});
