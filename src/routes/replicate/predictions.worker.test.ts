import { env, exports } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { ManifestSchema } from "../../contract/manifest.ts";
import type { Env } from "../../env.ts";
import { registerManifests } from "../../registry/models.ts";

const { ADMIN_KEY } = env as Env;
const VERSION = "a".repeat(64);
const manifest = ManifestSchema.parse({
  owner: "acme",
  name: "hello",
  version: VERSION,
  schema: {
    components: {
      schemas: {
        Input: { type: "object", required: ["text"], properties: { text: { type: "string", minLength: 1 } } },
      },
    },
  },
});

let apiKey = "";
let otherKey = "";

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(new Request(`http://edge.test${path}`, init));
}

async function admin(path: string, body: unknown): Promise<Record<string, string>> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const response = await call(`/admin/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(response.status).toBe(201);
  return response.json();
}

function post(path: string, body: unknown, headers: Record<string, string> = {}, key = apiKey): Promise<Response> {
  return call(path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

function get(path: string, key = apiKey): Promise<Response> {
  return call(path, { headers: { authorization: `Bearer ${key}` } });
}

beforeAll(async () => {
  await admin("/accounts", { name: "acme" });
  await admin("/accounts", { name: "other" });
  apiKey = (await admin("/keys", { account: "acme" }))["key"] ?? "";
  otherKey = (await admin("/keys", { account: "other" }))["key"] ?? "";
  await registerManifests(env as Env, [manifest]);
});

describe("creating a prediction", () => {
  it.each([
    ["/v1/predictions", { version: VERSION }],
    ["/v1/predictions", { version: "acme/hello" }],
    ["/v1/predictions", { version: `acme/hello:${VERSION}` }],
    ["/v1/predictions", { model: "acme/hello" }],
    ["/v1/models/acme/hello/predictions", {}],
    [`/v1/models/acme/hello/versions/${VERSION}/predictions`, {}],
  ])("accepts %s with %j", async (path, target) => {
    const response = await post(path, { ...target, input: { text: "Ada" } });
    expect(response.status).toBe(201);
    const created = await response.json<Record<string, unknown>>();
    expect(created).toMatchObject({
      model: "acme/hello",
      version: VERSION,
      status: "starting",
      input: { text: "Ada" },
      output: null,
      error: null,
      urls: { get: `http://edge.test/v1/predictions/${String(created["id"])}` },
    });
    const read = await get(`/v1/predictions/${String(created["id"])}`);
    expect(await read.json()).toMatchObject({
      id: created["id"],
      status: "starting",
      queue: { position: expect.any(Number) },
    });
  });
});
