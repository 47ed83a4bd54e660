import { beforeAll, describe, expect, it } from "vitest";
import { admin, call, callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { MAX_MODEL_SECRETS, MAX_SECRET_CHARS } from "../../contract/model-secrets.ts";
import { readModelSecrets } from "../../registry/model-secrets.ts";

const VERSION = "5".repeat(64);
const SECRET = "hf_very-secret-value";
let owner = "";
let stranger = "";

beforeAll(async () => {
  owner = await newKey("keeper");
  stranger = await newKey("nosy");
  await offer({ owner: "keeper", name: "gated", version: VERSION, lane: "gated" });
});

const path = (secret = "", model = "gated") => `/v1/models/keeper/${model}/secrets${secret === "" ? "" : `/${secret}`}`;
const set = (secret: string, value: unknown = SECRET, key = owner, model = "gated") =>
  callJson(path(secret, model), { method: "PUT", key, body: { value } });
const list = async (key = owner) => callJson(path(), { key });
const namesOf = ({ body }: { body: Record<string, unknown> }) =>
  (body["results"] as { name: string }[] | undefined)?.map(({ name }) => name);
const poolToken = async (lanes: string[], owners: string[]) =>
  String((await admin("/pool-tokens", { lanes, owners }))["token"]);
const told = (key: string, names = "HF_TOKEN,OTHER", version = VERSION) =>
  callJson(`/pool/v1/models/keeper/gated/versions/${version}/secrets?names=${names}`, { key });

describe("the secrets of a model", () => {
  it("are set, listed by name, replaced and deleted by its owner, and stored sealed", async () => {
    expect((await set("HF_TOKEN")).status).toBe(204);
    expect((await set("OTHER", "first")).status).toBe(204);
    expect((await set("OTHER", "second")).status).toBe(204);
    const listed = await list();
    expect(namesOf(listed)).toEqual(["HF_TOKEN", "OTHER"]);
    expect(JSON.stringify(listed.body)).not.toContain(SECRET);
    const { results } = await testEnv.DB.prepare("SELECT * FROM model_secrets").all();
    expect(results).toHaveLength(2);
    expect(JSON.stringify(results)).not.toMatch(/very-secret|second/);
    const model = { owner: "keeper", name: "gated" };
    expect(await readModelSecrets(testEnv, model, ["OTHER", "NONE"])).toEqual({ OTHER: "second" });
    expect((await call(path("OTHER"), { method: "DELETE", key: owner })).status).toBe(204);
    expect((await callJson(path("OTHER"), { method: "DELETE", key: owner })).body["code"]).toBe("not_found");
    expect(namesOf(await list())).toEqual(["HF_TOKEN"]);
  });

  it("open nothing elsewhere in the database, nor under another secret of the deployment", async () => {
    await set("HF_TOKEN");
    await testEnv.DB.prepare(
      `INSERT INTO model_secrets SELECT owner, 'stolen', secret, sealed, 1, 1 FROM model_secrets WHERE name = 'gated'`,
    ).run();
    expect(await readModelSecrets(testEnv, { owner: "keeper", name: "stolen" }, ["HF_TOKEN"])).toEqual({});
    const rotated = { ...testEnv, EDGEPLANE_SECRET: "another-secret-another-secret-another-secret" };
    expect(await readModelSecrets(rotated, { owner: "keeper", name: "gated" }, ["HF_TOKEN"])).toEqual({});
    await testEnv.DB.prepare("DELETE FROM model_secrets WHERE name = 'stolen'").run();
  });

  it("are nobody else's to set, list or delete", async () => {
    await set("HF_TOKEN");
    for (const answer of [
      await list(stranger),
      await set("HF_TOKEN", "mine", stranger),
      await callJson(path("HF_TOKEN"), { method: "DELETE", key: stranger }),
    ])
      expect([answer.status, answer.body["code"]]).toEqual([403, "forbidden"]);
    expect((await set("HF_TOKEN", "x", owner, "none")).body["code"]).toBe("model_not_found");
    expect((await call(path(), {})).status).toBe(401);
    expect(await readModelSecrets(testEnv, { owner: "keeper", name: "gated" }, ["HF_TOKEN"])).toEqual({
      HF_TOKEN: SECRET,
    });
  });

  it("have bounds, and names that nothing else uses", async () => {
    for (const name of [
      "lower",
      "1ST",
      "A-B",
      "X".repeat(65),
      "PATH",
      "LD_PRELOAD",
      "EDGEPLANE_POOL_TOKEN",
      "PYTHONPATH",
    ])
      expect([name, (await set(name)).status]).toEqual([name, 400]);
    for (const value of ["", "a\0b", "x".repeat(MAX_SECRET_CHARS + 1), 7, null])
      expect((await set("HF_TOKEN", value)).status).toBe(422);
    expect((await set("HF_TOKEN", "\u0001".repeat(MAX_SECRET_CHARS))).status).toBe(204);
    await offer({ owner: "keeper", name: "full", version: VERSION });
    for (let index = 0; index < MAX_MODEL_SECRETS; index += 1)
      expect((await set(`S${index}`, "x", owner, "full")).status).toBe(204);
    expect((await set("ONE_MORE", "x", owner, "full")).body["code"]).toBe("quota_exceeded");
    expect((await set("S0", "y", owner, "full")).status).toBe(204);
  });

  it("reach pools whose token has the owner and the lane, those that they name only", async () => {
    await set("HF_TOKEN");
    await set("UNASKED", "unasked");
    const right = await poolToken(["gated"], ["keeper"]);
    expect((await told(right)).body).toEqual({ secrets: { HF_TOKEN: SECRET } });
    for (const key of [
      await poolToken(["gated"], ["local"]),
      await poolToken(["default"], ["keeper"]),
      await poolToken(["default"], ["local"]),
    ])
      expect((await told(key)).status).toBe(404);
    expect((await told(right, "HF_TOKEN", "6".repeat(64))).status).toBe(404);
    expect((await told(owner)).status).toBe(401);
    for (const names of ["", "lower", "A,,B"]) expect((await told(right, names)).status).toBe(400);
  });

  it("go with their model", async () => {
    const body = { owner: "keeper", name: "short", visibility: "private", hardware: "cpu" };
    await callJson("/v1/models", { key: owner, body });
    await set("HF_TOKEN", SECRET, owner, "short");
    expect((await call("/v1/models/keeper/short", { method: "DELETE", key: owner })).status).toBe(204);
    expect(await readModelSecrets(testEnv, { owner: "keeper", name: "short" }, ["HF_TOKEN"])).toEqual({});
  });
});
