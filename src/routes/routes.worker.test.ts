import { beforeAll, describe, expect, it } from "vitest";
import { sha256Hex } from "../../plugins/kernel/secret.ts";
import { createCountedEnv } from "../../test/worker/counted-env.ts";
import { admin, call, callJson, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";
import { createKeyDirectory } from "../registry/api-keys.ts";

const VERSION = "f".repeat(64);
const NEWER = "1".repeat(64);
let key = "";

beforeAll(async () => {
  key = await newKey("reader");
  await offer({ name: "first", version: VERSION, description: "Says hello to 100%_of people" });
  await offer({ name: "second", version: VERSION, schema: { openapi: "3.0.2" } });
});

describe("credentials", () => {
  it("are asked for", async () => {
    for (const path of [
      "/v1/predictions",
      "/v1/models",
      "/v1/account",
      "/v1/hardware",
      "/v1/webhooks/default/secret",
      "/v1/trainings",
    ]) {
      const { status, body, headers } = await callJson(path);
      expect([path, status, body["code"]]).toEqual([path, 401, "unauthenticated"]);
      expect(headers.get("www-authenticate")).toContain("Bearer");
    }
  });

  it("may come as `Token`, and need the scope", async () => {
    const headers = { authorization: `Token ${await newKey("limited", { scopes: ["models:read"] })}` };
    expect((await callJson("/v1/models", { headers })).status).toBe(200);
    const { status, body } = await callJson("/v1/predictions", { headers });
    expect([status, body["code"]]).toEqual([403, "forbidden"]);
  });

  it("fail closed when the store is away", async () => {
    const DB = new Proxy(testEnv.DB, {
      get: () => () => {
        throw new Error("D1 is away");
      },
    });
    const { status, body, headers } = await callJson("/v1/account", { key: `ep_${"a".repeat(43)}`, env: { DB } });
    expect([status, body["code"]]).toEqual([503, "guard_unavailable"]);
    expect(headers.get("retry-after")).toBe("1");
    expect(JSON.stringify(body)).not.toContain("D1");
  });
});

describe("the operator's calls", () => {
  it("are not there without a key of the operator's", async () => {
    const unset: { ADMIN_KEY?: string } = { ADMIN_KEY: "" };
    expect((await callJson("/admin/v1/accounts", { key: "x", env: unset })).status).toBe(404);
    expect((await callJson("/admin/v1/accounts", { key: "x" })).status).toBe(401);
    expect((await callJson("/admin/v1/accounts")).status).toBe(401);
  });

  it("make accounts, once per name", async () => {
    const made = await admin("/accounts", { name: "fresh" });
    expect(made).toMatchObject({ name: "fresh", type: "organization" });
    const again = await callJson("/admin/v1/accounts", { key: testEnv.ADMIN_KEY ?? "", body: { name: "fresh" } });
    expect([again.status, again.body["code"]]).toEqual([409, "already_exists"]);
    const { body } = await callJson("/admin/v1/accounts", { key: testEnv.ADMIN_KEY ?? "" });
    expect(JSON.stringify(body)).not.toContain("whsec_");
  });

  it("show a key once, and revoke it", async () => {
    await admin("/accounts", { name: "revoker" });
    const made = await admin("/keys", { account: "revoker", name: "ci" });
    expect(made["key"]).toMatch(/^ep_[A-Za-z0-9_-]{65}$/);
    const listed = await callJson("/admin/v1/keys?account=revoker", { key: testEnv.ADMIN_KEY ?? "" });
    expect(JSON.stringify(listed.body)).not.toContain(String(made["key"]));
    const stored = await testEnv.DB.prepare("SELECT * FROM api_keys WHERE id = ?").bind(made["id"]).first();
    expect(JSON.stringify(stored)).not.toContain(String(made["key"]));
    const revoked = await call(`/admin/v1/keys/${String(made["id"])}`, {
      method: "DELETE",
      key: testEnv.ADMIN_KEY ?? "",
    });
    expect(revoked.status).toBe(204);
    expect((await callJson("/v1/account", { key: String(made["key"]) })).status).toBe(401);
    expect((await call("/admin/v1/keys/none", { method: "DELETE", key: testEnv.ADMIN_KEY ?? "" })).status).toBe(404);
  });

  it("set a key's priority, and an account's weight beside its retention", async () => {
    await admin("/accounts", { name: "weighed" });
    const made = await admin("/keys", { account: "weighed" });
    expect(made["priority"]).toBe("normal");
    const change = async (path: string, body: object) =>
      callJson(`/admin/v1${path}`, { method: "PATCH", key: testEnv.ADMIN_KEY ?? "", body });
    expect((await change(`/keys/${String(made["id"])}`, { priority: "high" })).body["priority"]).toBe("high");
    expect((await change("/keys/none", { priority: "high" })).status).toBe(404);
    expect((await change("/accounts/weighed", {})).body).toMatchObject({ weight: 1, retention_s: 86_400 });
    expect((await change("/accounts/weighed", { weight: 0.25 })).body).toMatchObject({ weight: 0.25 });
    expect((await change("/accounts/weighed", { retention_s: 60 })).body).toMatchObject({
      weight: 0.25,
      retention_s: 60,
    });
    const keys = createKeyDirectory(testEnv);
    expect(await keys.find(await sha256Hex(String(made["key"])))).toMatchObject({
      principal: { weight: 0.25, maxPriority: "high" },
    });
    expect((await change("/accounts/weighed", { weight: null })).body).toMatchObject({ weight: 1 });
    for (const weight of [0, 0.009, 1000.1, "2"])
      expect([weight, (await change("/accounts/weighed", { weight })).status]).toEqual([weight, 422]);
  });

  it("refuse what doesn't fit", async () => {
    for (const [path, body] of [
      ["/accounts", { name: "No Spaces" }],
      ["/keys", { account: "nobody" }],
      ["/keys", { account: "reader", scopes: ["everything"] }],
      ["/pool-tokens", { lanes: ["NOT A LANE"] }],
    ] as const) {
      const answer = await callJson(`/admin/v1${path}`, { key: testEnv.ADMIN_KEY ?? "", body });
      expect([path, answer.status, answer.body["code"]]).toEqual([path, 422, "invalid_input"]);
    }
  });

  it("make pool tokens, and revoke them", async () => {
    const made = await admin("/pool-tokens", { name: "box", lanes: ["default", "fast"], may_register_models: true });
    expect(made).toMatchObject({
      token: expect.stringMatching(/^epp_/) as string,
      lanes: ["default", "fast"],
      may_register_models: true,
    });
    const path = `/admin/v1/pool-tokens/${String(made["id"])}`;
    expect((await call(path, { method: "DELETE", key: testEnv.ADMIN_KEY ?? "" })).status).toBe(204);
    expect((await call("/pool/v1/events", { method: "POST", key: String(made["token"]), body: {} })).status).toBe(401);
  });
});

describe("models", () => {
  const models = async (path: string, init = {}) =>
    (await callJson(path, { key, ...init })).body["results"] as { name: string }[];

  it("are listed, found and read", async () => {
    expect((await models("/v1/models")).map(({ name }) => name)).toEqual(expect.arrayContaining(["first", "second"]));
    const { body } = await callJson("/v1/models/acme/second", { key });
    expect(body).toMatchObject({
      owner: "acme",
      latest_version: { id: VERSION, openapi_schema: { openapi: "3.0.2" } },
    });
    const absent = await callJson("/v1/models/acme/absent", { key });
    expect([absent.status, absent.body["code"]]).toEqual([404, "model_not_found"]);
  });

  it.each(["100%_of", '"100%_of"'])("are searched for, as text and as a JSON text (%j)", async (body) => {
    const init = { method: "QUERY", headers: { "content-type": "text/plain" }, body };
    expect((await models("/v1/models", init)).map(({ name }) => name)).toEqual(["first"]);
  });

  it("are listed in the order that is asked for, and searched for page by page", async () => {
    type Page = { results: { name: string }[]; next: string | null };
    const names = Array.from({ length: 27 }, (_, index) => `paged-${String(index).padStart(2, "0")}`);
    for (const name of names) await offer({ name, version: VERSION });
    const walk = async (path: string, init = {}) => {
      const seen: string[] = [];
      let page = (await callJson(path, { key, ...init })).body as unknown as Page;
      for (;;) {
        seen.push(...page.results.map(({ name }) => name));
        if (page.next === null) return seen;
        page = (await callJson(page.next, { key })).body as unknown as Page;
      }
    };
    const newest = await walk("/v1/models?query=paged-");
    expect(newest.toSorted()).toEqual(names);
    expect(await walk("/v1/models", { method: "QUERY", body: "paged-" })).toEqual(newest);
    expect(await walk("/v1/models?query=paged-&sort_direction=asc")).toEqual(newest.toReversed());
    await offer({ name: "paged-05", version: NEWER });
    const [first] = await walk("/v1/models?query=paged-&sort_by=latest_version_created_at");
    const last = (await walk("/v1/models?query=paged-&sort_by=latest_version_created_at&sort_direction=asc")).at(-1);
    expect([first, last]).toEqual(["paged-05", "paged-05"]);
    expect((await callJson("/v1/models?sort_by=name", { key })).body["code"]).toBe("invalid_request");
  });

  it("are found by Replicate's search, and have no examples", async () => {
    const { body } = await callJson("/v1/search?query=acme/f&limit=1", { key });
    expect(body).toMatchObject({
      query: "acme/f",
      models: [{ model: { owner: "acme", name: "first" }, metadata: { tags: [] } }],
      collections: [],
      pages: [],
    });
    for (const path of ["/v1/search", "/v1/search?query=a&limit=51"])
      expect((await callJson(path, { key })).body["code"]).toBe("invalid_request");
    const examples = await callJson("/v1/models/acme/first/examples", { key });
    expect([examples.status, examples.body]).toEqual([200, { previous: null, next: null, results: [] }]);
    expect((await callJson("/v1/models/acme/absent/examples", { key })).status).toBe(404);
  });

  it("that can't be are neither looked for nor remembered", async () => {
    const { env, calls } = createCountedEnv(testEnv);
    const long = "x".repeat(5000);
    for (const path of [`${long}/x`, `acme/${long}`, "Acme/first", `acme/first/versions/${long}`]) {
      expect([path, (await call(`/v1/models/${path}`, { key, env })).status]).toEqual([path, 404]);
    }
    const asked = Object.keys(calls).filter((name) => name.includes("FROM models") || name.includes("FROM versions"));
    expect(asked.filter((name) => !name.includes("m.name = ?"))).toEqual([]);
    expect(asked.length).toBeLessThanOrEqual(1);
  });

  it("take a new version as the latest, and keep the old", async () => {
    await offer({ name: "first", version: NEWER });
    await offer({ name: "first", version: VERSION });
    const { body } = await callJson("/v1/models/acme/first", { key });
    expect(body).toMatchObject({ latest_version: { id: NEWER }, description: "Says hello to 100%_of people" });
    const versions = (await callJson("/v1/models/acme/first/versions", { key })).body["results"] as { id: string }[];
    expect(versions.map(({ id }) => id).toSorted()).toEqual([NEWER, VERSION].toSorted());
    expect((await call(`/v1/models/acme/first/versions/${VERSION}`, { key })).status).toBe(200);
    expect((await call(`/v1/models/acme/first/versions/${"9".repeat(64)}`, { key })).status).toBe(404);
  });

  it("take the schema of a version when it becomes known, and never lose it", async () => {
    await offer({ name: "late", version: VERSION });
    await offer({ name: "late", version: VERSION, schema: { openapi: "3.1.0" } });
    await offer({ name: "late", version: VERSION, description: "again without" });
    const row = await testEnv.DB.prepare("SELECT manifest FROM versions WHERE name = 'late'").first<{
      manifest: string;
    }>();
    expect(row?.manifest).toContain("3.1.0");
  });
});

describe("the account", () => {
  it("is told", async () => {
    expect((await callJson("/v1/account", { key })).body).toMatchObject({ type: "organization", username: "reader" });
    expect((await callJson("/v1/webhooks/default/secret", { key })).body["key"]).toMatch(/^whsec_/);
    expect((await callJson("/v1/hardware", { key })).body).toEqual([]);
  });
});

describe("every answer", () => {
  it("is not kept by caches, but for files and what is everybody's", async () => {
    for (const path of ["/v1/account", "/v1/webhooks/default/secret", "/v1/predictions", "/v1/nowhere", "/healthz"])
      expect([path, (await call(path, { key })).headers.get("cache-control")]).toEqual([path, "no-store"]);
    expect((await call("/admin/v1/accounts")).headers.get("cache-control")).toBe("no-store");
    expect((await call("/openapi.json")).headers.get("cache-control")).toContain("public");
  });

  it("carries a request id: the caller's, or ours", async () => {
    const own = await call("/healthz", { headers: { "x-request-id": "abc-12345" } });
    expect(own.headers.get("x-request-id")).toBe("abc-12345");
    const bad = await callJson("/nowhere", { headers: { "x-request-id": "a b" } });
    expect(bad.headers.get("x-request-id")).toBe(bad.body["request_id"]);
    expect(bad.body["request_id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("tells a wrong address from a wrong method", async () => {
    expect((await callJson("/v1/nowhere", { key })).body["code"]).toBe("not_found");
    const wrong = await callJson("/v1/predictions", { method: "DELETE", key });
    expect([wrong.status, wrong.body["code"]]).toEqual([405, "method_not_allowed"]);
    expect(wrong.headers.get("allow")).toBe("GET, POST, HEAD, OPTIONS");
  });

  it.each([
    ["/v1/nowhere", null],
    ["/v1/v1/nowhere", null],
    ["/v2/predictions", null],
    ["/models/acme/first/predictions", "let the client's base URL end with that"],
    ["/v1/v1/models/acme/first/predictions", "leave it out of the base URL"],
    ["/v1/v1/predictions", "leave it out of the base URL"],
  ])("says at %s what is wrong with the base URL, if that is it", async (path, hint) => {
    const { status, body } = await callJson(path, { key, body: {} });
    const said: unknown = hint === null ? "There is nothing at this address." : expect.stringContaining(hint);
    expect([status, body["code"], body["detail"]]).toEqual([404, "not_found", said]);
  });

  it("says which fields are missing, and which are another type", async () => {
    const { body } = await callJson("/v1/models", { key, body: { owner: 1, visibility: "private" } });
    expect(body["invalid_fields"]).toMatchObject([
      { field: "owner", description: "Invalid input: expected string, received number" },
      { field: "name", description: "is required" },
      { field: "hardware", description: "is required" },
    ]);
    const search = await callJson("/v1/search", { key });
    expect([search.status, search.body["detail"]]).toEqual([400, "- query: is required\n"]);
  });

  it("says what a body is that came in place of JSON", async () => {
    const sent = async (headers: Record<string, string>) =>
      (await callJson("/v1/predictions", { key, headers, body: "--x\r\nno JSON" })).body;
    const form = await sent({ "content-type": "multipart/form-data; boundary=x" });
    expect([form["code"], form["detail"]]).toEqual([
      "invalid_json",
      expect.stringMatching(/ It came as `multipart\/form-data`; this address takes JSON\.$/),
    ]);
    expect((await sent({ "content-type": "application/json" }))["detail"]).not.toContain("It came as");
  });

  it.each([
    ["GET", "/v1/trainings"],
    ["GET", "/v1/collections"],
    ["POST", "/v1/models/acme/first/versions/1/trainings"],
  ])("says that %s %s is not offered", async (method, path) => {
    const { status, body } = await callJson(path, { method, key });
    expect([status, body["code"]]).toEqual([501, "not_implemented"]);
  });

  it("lets browsers in, on the client's routes", async () => {
    const headers = {
      origin: "https://app.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    };
    const preflight = await call("/v1/predictions", { method: "OPTIONS", headers });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization");
    const refused = await call("/v1/predictions", { headers: { origin: "https://app.example" } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, "*"]);
    expect(refused.headers.get("access-control-expose-headers")).toContain("retry-after");
    expect((await call("/admin/v1/accounts", { headers })).headers.get("access-control-allow-origin")).toBeNull();
  });

  it("leaves /kafka and the rest to their own rules", async () => {
    expect((await call("/healthz")).status).toBe(200);
    expect((await callJson("/")).body).toMatchObject({ name: "edgeplane" });
    expect((await call("/kafka/topics")).status).toBe(404);
  });
});
