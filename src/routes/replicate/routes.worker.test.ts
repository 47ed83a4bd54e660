import { beforeAll, describe, expect, it } from "vitest";
import { callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";

const [ONE, TWO, THREE] = ["1", "2", "3"].map((digit) => digit.repeat(64)) as [string, string, string];
let owner = "";
let guest = "";

beforeAll(async () => {
  owner = await newKey("router");
  guest = await newKey("guest");
});

const path = (name: string, more = "") => `/v1/models/router/${name}${more}`;
const publish = (name: string, rules: unknown[], key = owner) =>
  callJson(path(name, "/routes"), { method: "PUT", key, body: { rules } });
const alias = (name: string, called: string, body: unknown) =>
  callJson(path(name, `/aliases/${called}`), { method: "PUT", key: owner, body });

/** A public model whose `latest` is THREE, with `stable` at ONE. */
async function make(name: string): Promise<void> {
  await callJson("/v1/models", { key: owner, body: { owner: "router", name, visibility: "public", hardware: "cpu" } });
  for (const version of [ONE, TWO, THREE]) await offer({ owner: "router", name, version });
  await alias(name, "stable", { version: ONE });
}

/** The version that a request gets that names the model alone. */
async function given(name: string, headers: Record<string, string> = {}, key = owner, version = `router/${name}`) {
  const { body } = await callJson("/v1/predictions", { key, headers, body: { version, input: {} } });
  return body["version"] ?? body["code"];
}

describe("rules of a model", () => {
  it("give versions by account and by header, in their order, and leave the rest to `latest`", async () => {
    await make("ruled");
    const rules = [
      { accounts: ["guest"], version: "stable" },
      { header: { name: "x-channel", value: "beta" }, version: TWO },
    ];
    expect((await publish("ruled", rules)).status).toBe(200);
    expect(await given("ruled")).toBe(THREE);
    expect(await given("ruled", { "x-channel": "beta" })).toBe(TWO);
    expect(await given("ruled", { "x-channel": "beta" }, guest)).toBe(ONE);
    expect(await given("ruled", {}, guest)).toBe(ONE);
    const byPath = await callJson(path("ruled", "/predictions"), { key: guest, body: { input: {} } });
    expect(byPath.body["version"]).toBe(ONE);
    expect((await publish("ruled", [])).body).toEqual({ rules: [] });
    expect(await given("ruled", {}, guest)).toBe(THREE);
  });

  it("hold in a simulation, which refuses what the gateway itself would", async () => {
    await make("simulated");
    await publish("simulated", [
      { accounts: ["guest"], version: "stable" },
      { header: { name: "x-channel", value: "beta" }, version: TWO },
    ]);
    const narrow = { account: "router", models: ["router/other"] };
    const other = (await callJson("/admin/v1/keys", { key: testEnv.ADMIN_KEY ?? "", body: narrow })).body["key"];
    const simulate = async (more: object) => {
      const request = { model: "router/simulated", account: "router", ...more };
      const body = { settings: { plugins: { "api-key": {} } }, request };
      const answer = await callJson("/admin/v1/settings/simulate", { key: testEnv.ADMIN_KEY ?? "", body });
      const { chosen, refused } = answer.body as { chosen: { version: string; rule: number } | null; refused: unknown };
      return refused ?? (chosen === null ? null : [chosen.version, chosen.rule]);
    };
    expect(await simulate({})).toEqual([THREE, null]);
    expect(await simulate({ headers: { "X-Channel": "beta" } })).toEqual([TWO, 1]);
    expect(await simulate({ account: "guest", headers: { "x-channel": "beta" } })).toEqual([ONE, 0]);
    expect(await simulate({ version: "latest" })).toEqual([THREE, null]);
    expect(await simulate({ model: "router/not-here" })).toBeNull();
    const refusals: [object, string][] = [
      [{ version: "nobody" }, "version_not_found"],
      [{ account: undefined, headers: { authorization: `Bearer ${String(other)}` } }, "model_forbidden"],
    ];
    for (const [more, code] of refusals) expect(await simulate(more)).toMatchObject({ phase: null, code });
  });

  it("leave alone what names a version, an alias, `latest` itself, or a deployment", async () => {
    await make("named");
    await publish("named", [{ version: "stable" }]);
    expect(await given("named")).toBe(ONE);
    expect(await given("named", {}, owner, "router/named:latest")).toBe(THREE);
    expect(await given("named", {}, owner, `router/named:${TWO}`)).toBe(TWO);
    const bounds = { hardware: "cpu", min_instances: 0, max_instances: 1 };
    await callJson("/v1/deployments", {
      key: owner,
      body: { name: "d", model: "router/named", version: TWO, ...bounds },
    });
    const deployed = await callJson("/v1/deployments/router/d/predictions", { key: owner, body: { input: {} } });
    expect(deployed.body["version"]).toBe(TWO);
  });

  it("compose with the canary of the alias that they name", async () => {
    await make("composed");
    await publish("composed", [{ version: "stable" }]);
    await alias("composed", "stable", { canary: { version: TWO, percent: 100 } });
    expect(await given("composed")).toBe(TWO);
    await alias("composed", "stable", { canary: null });
    expect(await given("composed")).toBe(ONE);
  });

  it("take a share", async () => {
    await make("shared");
    await publish("shared", [{ percent: 50, version: "stable" }]);
    const got = new Set<unknown>();
    for (let count = 0; count < 40 && got.size < 2; count += 1) got.add(await given("shared"));
    expect(got).toEqual(new Set([ONE, THREE]));
  });

  it("are checked when they are published, and are the owner's", async () => {
    await make("strict");
    const refused = async (rules: unknown[]) => (await publish("strict", rules)).body["invalid_fields"];
    expect(await refused([{ version: "stable", percent: 5 }, { version: "none" }])).toMatchObject([
      { field: "rules.1.version" },
    ]);
    expect(await refused([{ version: "stable" }, { version: TWO }])).toMatchObject([{ field: "rules.1" }]);
    expect((await publish("strict", [{ version: "stable" }], guest)).body["code"]).toBe("forbidden");
    expect((await callJson(path("strict", "/routes"), { key: guest })).body["code"]).toBe("forbidden");
    expect((await callJson(path("strict", "/routes"), { key: owner })).body).toEqual({ rules: [] });
  });

  it("hold what they name: an alias stays, and a version goes by force alone, with its rule", async () => {
    await make("held");
    await publish("held", [
      { accounts: ["guest"], version: "stable" },
      { percent: 100, version: TWO },
    ]);
    const remove = async (of: string) => {
      const { status, body } = await callJson(path("held", of), { method: "DELETE", key: owner });
      return [status, body["code"]];
    };
    expect(await remove("/aliases/stable")).toEqual([409, "conflict"]);
    expect(await given("held")).toBe(TWO);
    await callJson(path("held"), { method: "PATCH", key: owner, body: { visibility: "private" } });
    expect(await remove(`/versions/${TWO}`)).toEqual([409, "conflict"]);
    expect(await remove(`/versions/${TWO}?force=true`)).toEqual([202, undefined]);
    expect(await given("held")).toBe(THREE);
    const { body } = await callJson(path("held", "/routes"), { key: owner });
    expect(body["rules"]).toMatchObject([{ version: "stable" }]);
  });
});
