import { beforeAll, describe, expect, it, vi } from "vitest";
import { admin, call, callJson, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";
import { ConfigurationsSchema } from "../contract/model-configuration.ts";
import { Lane } from "../lane/lane.ts";
import { forgetModel } from "./models.ts";

const VERSION = "c".repeat(64);
let owner = "";
const path = "/v1/models/shop/tuned";
const change = async (configuration: unknown, key = owner) =>
  callJson(path, { method: "PATCH", key, body: { configuration } });

beforeAll(async () => {
  owner = await newKey("shop");
  await callJson("/v1/models", {
    key: owner,
    body: { owner: "shop", name: "tuned", visibility: "public", hardware: "cpu" },
  });
  await offer({ owner: "shop", name: "tuned", version: VERSION, startTimeoutMs: 60_000, maxBatchSize: 4 });
});

const startSeconds = async (): Promise<number> => {
  forgetModel({ owner: "shop", name: "tuned" }, VERSION);
  const before = Date.now();
  const { body } = await callJson(`${path}/predictions`, { key: owner, body: { input: {} } });
  return Math.round((Date.parse(String(body["start_deadline"])) - before) / 1000);
};

describe("a model's configuration", () => {
  it("holds in place of what the files say, until it is taken back", async () => {
    expect(await startSeconds()).toBe(60);
    const changed = await change({ startTimeoutMs: 9000, instances: { count: 2, devices: [0, "1"] } });
    expect([changed.status, changed.body["configuration"]]).toEqual([
      200,
      { startTimeoutMs: 9000, instances: { count: 2, devices: [0, "1"] } },
    ]);
    expect(await startSeconds()).toBe(9);
    expect((await callJson(path, { key: owner })).body["configuration"]).toEqual(changed.body["configuration"]);
    expect((await change(null)).body["configuration"]).toBeNull();
    expect(await startSeconds()).toBe(60);
  });

  it.each([
    [{ maxBatchSize: 0 }, "configuration.maxBatchSize"],
    [{ maxBatchSze: 4 }, "maxBatchSze"],
    [{ lane: "other" }, "lane"],
    ["fast", "configuration"],
  ])("refuses %j, and says where", async (configuration, field) => {
    const { status, body } = await change(configuration);
    expect([status, body["code"]]).toEqual([422, "invalid_input"]);
    expect(JSON.stringify(body["invalid_fields"])).toContain(field);
  });

  it("lets the pools of all its versions' lanes ask for it at once, and for nothing else that changed", async () => {
    await offer({ owner: "shop", name: "tuned", version: "d".repeat(64), lane: "other" });
    const nudged = vi.spyOn(Lane.prototype, "nudge");
    await callJson(path, { method: "PATCH", key: owner, body: { description: "tuned" } });
    await change({ maxBatchSize: 5 });
    await expect.poll(() => nudged.mock.calls.length).toBe(2);
    expect(new Map(nudged.mock.calls)).toEqual(
      new Map([
        ["default", "configurations"],
        ["other", "configurations"],
      ]),
    );
  });

  it("is its owner's to change", async () => {
    expect((await change({ pinned: true }, await newKey("passer-by"))).status).toBe(403);
  });

  it("is told to pools that have its owner, and to no others", async () => {
    await change({ maxBatchSize: 7 });
    const told = async (owners: string[]) => {
      const { token } = (await admin("/pool-tokens", { name: "box", lanes: ["default"], owners })) as { token: string };
      const answer = await call("/pool/v1/configurations", { headers: { authorization: `Bearer ${token}` } });
      return ConfigurationsSchema.parse(await answer.json()).configurations;
    };
    expect(await told(["local", "shop"])).toEqual({ "shop/tuned": { maxBatchSize: 7 } });
    expect(await told(["local"])).toEqual({});
    await testEnv.DB.prepare("UPDATE models SET deleted_at = 1 WHERE owner = 'shop'").run();
    expect(await told(["shop"])).toEqual({});
  });
});
