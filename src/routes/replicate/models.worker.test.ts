import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { interruptedDb } from "../../../test/worker/interrupted-db.ts";
import { findModel, findVersion } from "../../registry/models.ts";

const VERSION = "a".repeat(64);
const NEWER = "b".repeat(64);
let owner = "";
let stranger = "";

beforeAll(async () => {
  owner = await newKey("owner");
  stranger = await newKey("stranger");
});

const make = (name: string, more: Record<string, unknown> = {}, key = owner) =>
  callJson("/v1/models", {
    key,
    body: { owner: "owner", name, visibility: "private", hardware: "cpu", ...more },
  });
const path = (name: string) => `/v1/models/owner/${name}`;
const remove = async (address: string, key = owner) => {
  const answer = await callJson(address, { method: "DELETE", key });
  return [answer.status, answer.body["code"]];
};

describe("making a model", () => {
  it("answers it as it will be read", async () => {
    const made = await make("made", { description: "What it is", github_url: "https://example.com/x" });
    expect([made.status, made.body["latest_version"], made.body["run_count"]]).toEqual([201, null, 0]);
    expect(made.body).toMatchObject({ owner: "owner", name: "made", visibility: "private", hardware: "cpu" });
    expect((await callJson(path("made"), { key: owner })).body).toEqual(made.body);
  });

  it("refuses a second of the name, another owner, and what doesn't fit", async () => {
    await make("twice");
    expect((await make("twice")).body["code"]).toBe("already_exists");
    expect((await make("x", { owner: "stranger" })).body["code"]).toBe("forbidden");
    for (const [field, value] of [
      ["name", "No Spaces"],
      ["name", "ends-with-"],
      ["visibility", "hidden"],
      ["hardware", undefined],
      ["paper_url", "javascript:alert(1)"],
    ] as const) {
      const { status, body } = await make("bad", { [field]: value });
      expect([status, body["invalid_fields"]]).toMatchObject([422, [{ field }]]);
    }
  });

  it("needs the scope", async () => {
    const reader = await newKey("owner", { scopes: ["models:read"] });
    expect((await make("unscoped", {}, reader)).status).toBe(403);
  });
});

describe("changing a model", () => {
  it("changes what is named and leaves the rest", async () => {
    await make("changing", { description: "old", readme: "# Old" });
    const change = { readme: "# New", paper_url: "https://example.com/p", description: null };
    const changed = await callJson(path("changing"), { method: "PATCH", key: owner, body: change });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ description: "", paper_url: "https://example.com/p", visibility: "private" });
    expect(await (await call(`${path("changing")}/readme`, { key: owner })).text()).toBe("# New");
  });

  it("is the owner's alone", async () => {
    await make("guarded", { visibility: "public" });
    const change = { method: "PATCH", body: { description: "mine" } };
    expect((await callJson(path("guarded"), { ...change, key: stranger })).body["code"]).toBe("forbidden");
    expect(await remove(path("guarded"), stranger)).toEqual([403, "forbidden"]);
  });
});

describe("a private model", () => {
  beforeAll(async () => {
    await make("secret", { description: "needle" });
    await offer({ owner: "owner", name: "secret", version: VERSION });
  });

  it("takes the versions that pools offer, and stays private", async () => {
    expect((await callJson(path("secret"), { key: owner })).body).toMatchObject({
      visibility: "private",
      latest_version: { id: VERSION },
    });
  });

  it("is not there for others, in no way", async () => {
    const answers = await Promise.all([
      callJson(path("secret"), { key: stranger }),
      callJson(`${path("secret")}/versions`, { key: stranger }),
      callJson(`${path("secret")}/versions/${VERSION}`, { key: stranger }),
      callJson(`${path("secret")}/readme`, { key: stranger }),
      callJson(path("secret"), { method: "PATCH", key: stranger, body: {} }),
      callJson(path("secret"), { method: "DELETE", key: stranger }),
      callJson(`${path("secret")}/predictions`, { key: stranger, body: { input: {} } }),
    ]);
    const absent = await callJson("/v1/models/owner/absent", { key: stranger });
    for (const { status, body } of answers) {
      expect([status, body["code"], body["detail"]]).toEqual([404, "model_not_found", absent.body["detail"]]);
    }
    for (const version of [VERSION, `owner/secret:${VERSION}`]) {
      const { status, body } = await callJson("/v1/predictions", { key: stranger, body: { version, input: {} } });
      expect([status, body["code"]]).toEqual([422, "version_not_found"]);
    }
    for (const query of ["", "?query=needle", "?query=secret"]) {
      expect(JSON.stringify((await callJson(`/v1/models${query}`, { key: stranger })).body)).not.toContain("secret");
      expect(JSON.stringify((await callJson(`/v1/models${query}`, { key: owner })).body)).toContain("secret");
    }
  });

  it("shares a version with a public one: each account gets the one that it may know of", async () => {
    const shared = "c".repeat(64);
    await offer({ owner: "owner", name: "secret", version: shared });
    const find = (accountName: string) => findVersion(testEnv.DB, { accountName }, null, shared);
    expect(await find("stranger")).toBeNull();
    await offer({ owner: "acme", name: "open", version: shared });
    expect((await find("stranger"))?.manifest.name).toBe("open");
  });

  it("is its own account's by its digits alone, and for others the one of the model that had it first", async () => {
    const shared = "e".repeat(64);
    await newKey("squatter");
    const input = { type: "object", required: ["nobody-sends-this"], properties: {} };
    const schema = { components: { schemas: { Input: input, Output: {} } } };
    await offer({ owner: "acme", name: "first", version: shared });
    await testEnv.DB.prepare("UPDATE versions SET created_at = 1 WHERE owner = 'acme' AND name = 'first'").run();
    await offer({ owner: "squatter", name: "later", version: shared, schema });
    await offer({ owner: "owner", name: "mine", version: shared });
    const modelOf = async (key: string) =>
      (await callJson("/v1/predictions", { key, body: { version: shared, input: {} } })).body["model"];
    expect(await modelOf(stranger)).toBe("acme/first");
    expect(await modelOf(owner)).toBe("owner/mine");
  });

  it("shows once it is public", async () => {
    await make("opening");
    await callJson(path("opening"), { method: "PATCH", key: owner, body: { visibility: "public" } });
    expect((await callJson(path("opening"), { key: stranger })).status).toBe(200);
  });
});

describe("deleting", () => {
  it("takes versions first, then the model", async () => {
    await make("doomed");
    await offer({ owner: "owner", name: "doomed", version: VERSION });
    await offer({ owner: "owner", name: "doomed", version: NEWER });
    expect(await remove(path("doomed"))).toEqual([409, "conflict"]);
    expect(await remove(`${path("doomed")}/versions/${NEWER}`)).toEqual([409, "conflict"]);
    expect(await remove(`${path("doomed")}/versions/${NEWER}?force=true`)).toEqual([202, undefined]);
    expect(await remove(`${path("doomed")}/versions/${NEWER}?force=true`)).toEqual([404, "not_found"]);
    expect((await callJson(path("doomed"), { key: owner })).body).toMatchObject({ latest_version: { id: VERSION } });
    expect(await remove(`${path("doomed")}/versions/${VERSION}`)).toEqual([202, undefined]);
    expect(await remove(path("doomed"))).toEqual([204, undefined]);
    expect((await callJson(path("doomed"), { key: owner })).status).toBe(404);
    expect(JSON.stringify((await callJson("/v1/models?query=doomed", { key: owner })).body)).not.toContain("doomed");
    const left = await testEnv.DB.prepare("SELECT manifest FROM versions WHERE name = 'doomed'").all();
    expect(left.results).toEqual([{ manifest: "{}" }, { manifest: "{}" }]);
  });

  it("holds while a pool goes on offering the same; a new version, or making it anew, ends that", async () => {
    await make("revenant");
    await offer({ owner: "owner", name: "revenant", version: VERSION });
    await remove(`${path("revenant")}/versions/${VERSION}`);
    await remove(path("revenant"));
    const again = offer({ owner: "owner", name: "revenant", version: VERSION, description: "again" });
    await expect(again).rejects.toThrow("its owner deleted this version");
    expect(await findModel(testEnv.DB, { accountName: "owner" }, { owner: "owner", name: "revenant" })).toBeNull();
    expect((await make("revenant")).status).toBe(201);
    await offer({ owner: "owner", name: "revenant", version: VERSION, description: "and again" });
    expect((await callJson(path("revenant"), { key: owner })).body).toMatchObject({ latest_version: { id: VERSION } });
    await remove(`${path("revenant")}/versions/${VERSION}`);
    await remove(path("revenant"));
    await offer({ owner: "owner", name: "revenant", version: NEWER });
    expect((await callJson(path("revenant"), { key: owner })).body).toMatchObject({
      latest_version: { id: NEWER },
      visibility: "private",
    });
  });

  it("takes all of a model or nothing, so that it can be tried again", async () => {
    await make("half-gone");
    const secret = { method: "PUT", key: owner, body: { value: "s" } };
    expect((await call(`${path("half-gone")}/secrets/TOKEN`, secret)).status).toBe(204);
    const DB = interruptedDb(testEnv.DB, "model_secrets", () => Promise.reject(new Error("the database is away")));
    expect((await call(path("half-gone"), { method: "DELETE", key: owner, env: { DB } })).status).toBe(500);
    expect(await remove(path("half-gone"))).toEqual([204, undefined]);
    await make("half-gone");
    expect((await callJson(`${path("half-gone")}/secrets`, { key: owner })).body).toEqual({ results: [] });
  });

  it("is refused for what is public, deployed, or run by others", async () => {
    await offer({ owner: "owner", name: "public", version: VERSION });
    expect(await remove(path("public"))).toEqual([409, "conflict"]);
    expect(await remove(`${path("public")}/versions/${VERSION}`)).toEqual([409, "conflict"]);
    await callJson(path("public"), { method: "PATCH", key: owner, body: { visibility: "private" } });
    await testEnv.DB.prepare("INSERT INTO runs VALUES ('owner', 'public', ?, 'another', 1)").bind(VERSION).run();
    expect(await remove(`${path("public")}/versions/${VERSION}`)).toEqual([409, "conflict"]);
    await testEnv.DB.prepare("DELETE FROM runs WHERE name = 'public'").run();
    const deployment = {
      name: "holds-it",
      model: "owner/public",
      version: VERSION,
      hardware: "cpu",
      min_instances: 0,
      max_instances: 1,
    };
    expect((await callJson("/v1/deployments", { key: owner, body: deployment })).status).toBe(201);
    expect(await remove(`${path("public")}/versions/${VERSION}`)).toEqual([409, "conflict"]);
    expect(await remove("/v1/deployments/owner/holds-it")).toEqual([204, undefined]);
    expect(await remove(`${path("public")}/versions/${VERSION}`)).toEqual([202, undefined]);
  });
});

it("names no deployment of another account to who is refused to delete its version", async () => {
  await offer({ owner: "owner", name: "deployed-by-another", version: VERSION });
  const bounds = { hardware: "cpu", min_instances: 0, max_instances: 1 };
  const deployment = { name: "their-secret", model: "owner/deployed-by-another", version: VERSION, ...bounds };
  const another = await newKey("another-deployer");
  expect((await callJson("/v1/deployments", { key: another, body: deployment })).status).toBe(201);
  await callJson(path("deployed-by-another"), { method: "PATCH", key: owner, body: { visibility: "private" } });
  const at = `${path("deployed-by-another")}/versions/${VERSION}`;
  const refused = await callJson(at, { method: "DELETE", key: owner });
  expect([refused.status, refused.body["code"]]).toEqual([409, "conflict"]);
  expect(refused.body["detail"]).not.toContain("their-secret");
});

describe("a version that says much of itself", () => {
  it("is listed without its schema, and read with it", async () => {
    const input = { properties: { text: { type: "string", description: "x".repeat(100_000) } } };
    const schema = { components: { schemas: { Input: input, Output: {} } } };
    const version = "c".repeat(64);
    await offer({ owner: "wordy", name: "large", version, schema });
    await offer({ owner: "wordy", name: "small", version: "d".repeat(64), schema: { components: { schemas: {} } } });
    const listedOf = async (address: string) => {
      const { body } = await callJson(address, { key: owner });
      return body["results"] as Record<string, Record<string, unknown>>[];
    };
    const models = await listedOf("/v1/models?query=wordy/");
    expect(models.map(({ latest_version: latest }) => latest?.["schema_known"])).toEqual([true, false]);
    const [first] = await listedOf("/v1/models/wordy/large/versions");
    expect(first).toMatchObject({ id: version, schema_known: false });
    const { body } = await callJson(`/v1/models/wordy/large/versions/${version}`, { key: owner });
    expect(body).toMatchObject({ schema_known: true, openapi_schema: schema });
  });
});
